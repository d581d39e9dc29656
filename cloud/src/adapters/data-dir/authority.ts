import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DataDirError, keptSecret, newKeyPem, readSecret } from '../data-dir.ts';

/** The certificate authority as it stands in files, in PEM. */
export interface AuthorityFiles {
  readonly key: string;
  readonly certificate: string;
}

const KEY_FILE = 'ca.key.pem';
const CERTIFICATE_FILE = 'ca.cert.pem';

/**
 * The authority of the data directory, made on first use. Of several that start at once, all read the same.
 * @param certify makes the certificate of a key
 * @throws DataDirError `secret_readable`; `ca_key_missing` when its certificate is there without its key, because devices
 *   believe this certificate and a new key would be a new authority
 */
export async function loadAuthority(
  dataDir: string,
  certify: (keyPem: string) => Promise<string>,
): Promise<AuthorityFiles> {
  const keyFile = join(resolve(dataDir), KEY_FILE);
  const certificateFile = join(resolve(dataDir), CERTIFICATE_FILE);
  if ((await readSecret(certificateFile)) !== null && (await readSecret(keyFile)) === null)
    throw new DataDirError('ca_key_missing', `${certificateFile} is there and its key ${keyFile} is not`);
  const key = await keptSecret(keyFile, newKeyPem);
  return { key, certificate: await keptSecret(certificateFile, () => certify(key)) };
}

/** An authority that is given. @throws DataDirError `secret_readable`, `ca_key_missing` */
export async function readAuthority(files: { certificate: string; key: string }): Promise<AuthorityFiles> {
  const key = await readSecret(files.key);
  if (key === null) throw new DataDirError('ca_key_missing', `There is no ${files.key}`);
  return { key, certificate: await readFile(files.certificate, 'utf8') };
}
