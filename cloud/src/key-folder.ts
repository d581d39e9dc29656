import type { KeyObject } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readNamed } from './adapters/named-file.ts';
import { makeRoleKey, readRoleKey, writeRoleKey } from './adapters/role-key-file.ts';
import { once } from './backup/database.ts';
import { writeWhole } from './adapters/backup-files.ts';
import type { PassphraseOf } from './cli-passphrase.ts';
import { formatMetadata, parseOffline, parseRoot, type Metadata, type RoleName } from './tuf/formats.ts';
import { RepositoryError } from './tuf/repository-error.ts';
import { isComplete, progressOfRoot, type OfflineRole } from './tuf/root.ts';
import { keyIdOf, publicKeyOf, signerOf, withSignature } from './tuf/signatures.ts';

/*
 * What people keep who sign firmware: a folder with all roots, and the keys that are at hand. A root that is not signed
 * enough is a draft, and changed until it is.
 */

const ROOT_FILE = /^([1-9]\d{0,14})\.root\.json$/;
/** So many digits of a key's id stand in the name of its file. */
export const SHOWN_ID = 12;

export interface KeyFolder {
  readonly directory: string;
  /** Roots that are signed by all who have to, oldest first. */
  readonly roots: readonly Metadata<'root'>[];
  /** The one that comes next, still to be signed. */
  readonly draft: Metadata<'root'> | null;
  /** Names of files. */
  readonly keyFiles: readonly string[];
}

export async function readKeyFolder(directory: string): Promise<KeyFolder> {
  const names = await readdir(directory).catch(() => [] as string[]);
  const versions = names.flatMap((name) => {
    const version = ROOT_FILE.exec(name)?.[1];
    return version === undefined ? [] : [Number(version)];
  });
  const roots: Metadata<'root'>[] = [];
  let draft: Metadata<'root'> | null = null;
  for (const version of versions.toSorted((a, b) => a - b)) {
    const root = parseRoot(await readFile(rootFile(directory, version), 'utf8'));
    if (isComplete(progressOfRoot(roots.at(-1) ?? null, root))) roots.push(root);
    else draft = root;
  }
  return { directory, roots, draft, keyFiles: names.filter((name) => name.endsWith('.key.pem')) };
}

/** @throws RepositoryError `firmware_root_missing` */
export function newestRoot({ roots, directory }: KeyFolder): Metadata<'root'> {
  const root = roots.at(-1);
  if (root === undefined) throw new RepositoryError('firmware_root_missing', `in ${directory}`);
  return root;
}

const rootFile = (directory: string, version: number): string => join(directory, `${version}.root.json`);

/** @returns its path */
export async function keepRoot(directory: string, root: Metadata<'root'>): Promise<string> {
  const path = rootFile(directory, root.signed.version);
  await writeMetadata(path, root);
  return path;
}

export async function writeMetadata(path: string, metadata: Metadata<RoleName>): Promise<void> {
  await writeWhole(path, once(Buffer.from(formatMetadata(metadata))), true);
}

/** Makes a key in the folder. Its name begins with the role that it is meant for. */
export async function makeKey(directory: string, role: OfflineRole, passphrase: PassphraseOf) {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const secret = makeRoleKey();
  const key = publicKeyOf(secret);
  const file = join(directory, `${role}-${keyIdOf(key).slice(0, SHOWN_ID)}.key.pem`);
  await writeRoleKey(file, secret, await passphrase(file));
  return { role, key, secret, file };
}

/** Signs with keys from files, one by one. */
export async function signedBy<M extends Metadata<RoleName>>(
  metadata: M,
  keyFiles: readonly string[],
  passphrase: PassphraseOf,
  check: (keyId: string) => void = () => undefined,
): Promise<M> {
  let signed = metadata;
  for (const file of keyFiles) {
    const signer = signerOf(await readRoleKey(file, () => passphrase(file)));
    check(signer.keyId);
    signed = withSignature(signed, signer);
  }
  return signed;
}

/** With secrets that are at hand already. */
export const signedWith = <M extends Metadata<RoleName>>(metadata: M, secrets: readonly KeyObject[]): M =>
  secrets.reduce((signed, secret) => withSignature(signed, signerOf(secret)), metadata);

/** @throws NamedFileError, RepositoryError `metadata_malformed` */
export async function readOffline(path: string): Promise<Metadata<'root'> | Metadata<'targets'>> {
  return parseOffline(await readNamed(path));
}

/** The root that the one in this file follows, where it lies beside. */
export async function rootBefore(path: string, { signed }: Metadata<'root'>): Promise<Metadata<'root'> | null> {
  const before = await readFile(rootFile(dirname(path), signed.version - 1), 'utf8').catch(() => null);
  return before === null ? null : parseRoot(before);
}
