import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { es256OfDer } from '@paddock/shared/ecdsa-der.ts';
import type { Signing } from '@paddock/shared/envelope.ts';
import { keyIdOf } from '@paddock/shared/keys.ts';

/** What the service keeps in its data directory beside the database. All of it has mode 0600. */
export interface DataDir {
  /** Absolute. */
  readonly path: string;
  /** A bearer token for every customer, for whoever may read the file `operator.token`. */
  readonly operatorToken: string;
  readonly databasePassword: string;
}

/** A key of the service's own. */
export interface OwnKey {
  /** Signs with it. The key stays in this process. */
  readonly signing: Signing;
  /** With `kid`, `alg` and `use`, as devices pin it. */
  readonly publicJwk: JWK;
}

const OPERATOR_TOKEN_FILE = 'operator.token';
const DATABASE_PASSWORD_FILE = 'postgres-password';
const ONLINE_KEY_FILE = 'online.key.pem';
const FLEET_ROOT_FILE = 'fleet-root.key.pem';

/** Where a restore prepares what it puts in place at its end. */
export const RESTORING = '.restoring';

export class DataDirError extends Error {
  override readonly name = 'DataDirError';
  readonly code: 'secret_readable' | 'restore_unfinished' | 'ca_key_missing' | 'server_key_missing';
  constructor(code: DataDirError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Makes the data directory (mode 0700) and what belongs in it, or reads what is there. Of several instances that
 * start at once on a new directory, all read the same.
 * @throws DataDirError `secret_readable` when other users may read a secret in it, `restore_unfinished`
 */
export async function openDataDir(dataDir: string): Promise<DataDir> {
  const path = resolve(dataDir);
  if (existsSync(join(path, RESTORING)))
    throw new DataDirError('restore_unfinished', `A restore into ${path} was broken off: run it again`);
  const random = (): string => randomBytes(32).toString('base64url');
  return {
    path,
    operatorToken: await keptSecret(join(path, OPERATOR_TOKEN_FILE), () => `paddock_${random()}`),
    databasePassword: await keptDatabasePassword(path),
  };
}

/** Null when there is no private database. @throws DataDirError `secret_readable` */
export const readDatabasePassword = (dataDir: string): Promise<string | null> =>
  readSecret(join(resolve(dataDir), DATABASE_PASSWORD_FILE));

/** Makes the password of a private database, or reads it. @throws DataDirError `secret_readable` */
export const keptDatabasePassword = (dataDir: string): Promise<string> =>
  keptSecret(join(resolve(dataDir), DATABASE_PASSWORD_FILE), () => randomBytes(32).toString('base64url'));

/** For whoever works on the service's own machine; null when there is none. @throws DataDirError `secret_readable` */
export const readOperatorToken = (dataDir: string): Promise<string | null> =>
  readSecret(join(resolve(dataDir), OPERATOR_TOKEN_FILE));

/**
 * The cloud's online key, ES256 (P-256, RFC 7518, section 3.4), made on first use.
 * @throws DataDirError `secret_readable`
 */
export async function loadOnlineKey(dataDir: string): Promise<OwnKey> {
  return ownKey(await keptSecret(join(resolve(dataDir), ONLINE_KEY_FILE), newKeyPem));
}

/**
 * The fleet root, as long as it is kept here: it seals lists of keys, and is needed only for that.
 * @param mayMake on a new service; later a missing one was moved away on purpose
 * @throws DataDirError `secret_readable`
 */
export async function loadFleetRoot(dataDir: string, mayMake: boolean): Promise<OwnKey | null> {
  const path = rootFileOf(dataDir);
  const pem = mayMake ? await keptSecret(path, newKeyPem) : await readSecret(path);
  return pem === null ? null : ownKey(pem);
}

/** Where the fleet root is as long as the service keeps it. */
export const rootFileOf = (dataDir: string): string => join(resolve(dataDir), FLEET_ROOT_FILE);

/** @param pem a P-256 key, PKCS#8 */
export async function ownKey(pem: string): Promise<OwnKey> {
  const privateKey = createPrivateKey(pem);
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' }) as JWK;
  const keyId = keyIdOf(await calculateJwkThumbprint(jwk, 'sha256'));
  return {
    signing: {
      algorithm: 'ES256',
      keyId,
      // Node's own way to r and s asks the key for its order each time, which takes as long as signing does.
      sign: async (bytes) => es256OfDer(sign('sha256', bytes, privateKey)),
    },
    publicJwk: { ...jwk, kid: keyId, alg: 'ES256', use: 'sig' },
  };
}

/** A new P-256 key. */
export const newKeyPem = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** A secret in a file, made on first use: the file appears whole or not at all, and whoever comes second reads it. */
export async function keptSecret(path: string, make: () => string | Promise<string>): Promise<string> {
  const existing = await readSecret(path);
  if (existing !== null) return existing;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, `${(await make()).trim()}\n`, { mode: 0o600, flag: 'wx', flush: true });
  try {
    await link(draft, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await readSecret(path)) ?? keptSecret(path, make);
}

/** Null when it is not there. @throws DataDirError `secret_readable` */
export async function readSecret(path: string): Promise<string | null> {
  try {
    await using file = await open(path);
    const { mode } = await file.stat();
    if ((mode & 0o077) !== 0)
      throw new DataDirError('secret_readable', `Other users may read ${path}: chmod 600 it, and better replace it`);
    return (await file.readFile('utf8')).trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
