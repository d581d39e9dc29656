import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

/** A key of a role of firmware that cannot be used. */
export class RoleKeyError extends Error {
  override readonly name = 'RoleKeyError';
  readonly code: 'role_key_missing' | 'role_key_unreadable' | 'role_key_exists' | 'role_key_unasked';
  constructor(code: RoleKeyError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A new Ed25519 key. */
export const makeRoleKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;

/** Writes a key so that only who knows the passphrase can use it (PKCS#8, AES-256). Nobody's file is written over. */
export async function writeRoleKey(file: string, key: KeyObject, passphrase: string): Promise<void> {
  const pem = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString();
  try {
    await writeFile(file, pem, { mode: 0o600, flag: 'wx', flush: true });
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw cause;
    throw new RoleKeyError('role_key_exists', `${file} is there already`, { cause });
  }
}

/** @param passphrase asked for when the file is there @throws RoleKeyError */
export async function readRoleKey(file: string, passphrase: () => Promise<string>): Promise<KeyObject> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new RoleKeyError('role_key_missing', `There is no key in ${file}`, { cause });
  });
  const given = await passphrase();
  try {
    const key = createPrivateKey({ key: text, passphrase: given });
    if (key.asymmetricKeyType !== 'ed25519') throw new Error('it is no Ed25519 key');
    return key;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RoleKeyError('role_key_unreadable', `${file} cannot be used (${why}): is the passphrase right?`, {
      cause,
    });
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
