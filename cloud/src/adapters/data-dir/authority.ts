import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DataDirError, keptSecret, newKeyPem, readSecret } from '../data-dir.ts';

/** A certificate authority as it stands in files, in PEM. */
export interface AuthorityFiles {
  readonly key: string;
  readonly certificate: string;
}

/** `ca.cert.pem` is the first one; those that were made later have numbers. */
const CERTIFICATE_FILE = /^ca(?:-([1-9]\d{0,3}))?\.cert\.pem$/;

const filesOf = (dataDir: string, number: number): { key: string; certificate: string } => {
  const name = join(resolve(dataDir), number === 1 ? 'ca' : `ca-${number}`);
  return { key: `${name}.key.pem`, certificate: `${name}.cert.pem` };
};

/**
 * The authorities of the data directory, oldest first; the first one is made where there is none. Of several that start
 * at once, all read the same.
 * @param certify makes the certificate of a key
 * @throws DataDirError `secret_readable`; `ca_key_missing` when a certificate is there without its key, because devices
 *   believe this certificate and a new key would be a new authority
 */
export async function loadAuthorities(
  dataDir: string,
  certify: (keyPem: string) => Promise<string>,
): Promise<AuthorityFiles[]> {
  const numbers = await numbersIn(dataDir);
  if (numbers.length === 0) return [await made(filesOf(dataDir, 1), certify)];
  return Promise.all(
    numbers.map(async (number) => {
      const files = filesOf(dataDir, number);
      return { key: await keyOf(files), certificate: (await readSecret(files.certificate)) ?? '' };
    }),
  );
}

/** Makes one more, beside those that are there. @returns its files */
export async function addAuthority(
  dataDir: string,
  certify: (keyPem: string) => Promise<string>,
): Promise<{ key: string; certificate: string }> {
  const files = filesOf(dataDir, Math.max(1, ...(await numbersIn(dataDir))) + 1);
  await made(files, certify);
  return files;
}

/** Authorities that are given. @throws DataDirError `secret_readable`, `ca_key_missing` */
export const readAuthorities = (files: readonly { certificate: string; key: string }[]): Promise<AuthorityFiles[]> =>
  Promise.all(
    files.map(async (one) => ({ key: await keyOf(one), certificate: await readFile(one.certificate, 'utf8') })),
  );

/** Key first: a certificate says that both are there. */
async function made(
  files: { key: string; certificate: string },
  certify: (keyPem: string) => Promise<string>,
): Promise<AuthorityFiles> {
  const key = await keptSecret(files.key, newKeyPem);
  return { key, certificate: await keptSecret(files.certificate, () => certify(key)) };
}

async function keyOf(files: { key: string; certificate: string }): Promise<string> {
  const key = await readSecret(files.key);
  if (key === null)
    throw new DataDirError('ca_key_missing', `${files.certificate} is there and its key ${files.key} is not`);
  return key;
}

async function numbersIn(dataDir: string): Promise<number[]> {
  const names = await readdir(resolve(dataDir)).catch(() => []);
  const found = names.flatMap((name) => {
    const [whole, number = '1'] = CERTIFICATE_FILE.exec(name) ?? [];
    return whole === undefined ? [] : [Number(number)];
  });
  return found.toSorted((one, other) => one - other);
}
