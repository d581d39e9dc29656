import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { importVerificationKey, type Algorithm } from '@paddock/shared/keys.ts';
import type { HeldKey, Signer } from '../ports.ts';

/** Bits of group and others: a key that they can read is not this device's alone. */
const NOT_OWNER = 0o077;

export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
  readonly code: 'key_readable' | 'key_invalid' | 'key_missing';
  constructor(code: KeyFileError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Makes a P-256 key (PKCS#8 PEM, mode 0600) unless there is one. A power cut leaves no key or a whole one.
 * @returns whether it was made now
 */
export async function ensureKeyFile(path: string): Promise<boolean> {
  if (await exists(path)) return false;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp`;
  await writeSynced(temporary, newKeyPem());
  // link(2) refuses to replace: a key that somebody else has just put there is never lost.
  const made = await link(temporary, path).then(() => true, no);
  await unlink(temporary);
  await syncDirectory(dirname(path));
  return made;
}

/**
 * Reads the identity key: P-256 or Ed25519, PKCS#8 PEM.
 * @throws KeyFileError `key_missing`, `key_readable` (others can read it) or `key_invalid`
 */
export async function readKeyFile(path: string): Promise<HeldKey> {
  await checkMode(path);
  return deviceKeyOf(path, await readFile(path, 'utf8'));
}

/** A new P-256 key, PKCS#8 PEM. */
export const newKeyPem = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** @throws KeyFileError `key_invalid` */
export async function deviceKeyOf(path: string, pem: string): Promise<HeldKey> {
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' });
    const verification = await importVerificationKey(createPublicKey(key).export({ format: 'jwk' }));
    return { signer: signerOf(key, verification.keyId), public: verification };
  } catch (cause) {
    throw invalid(path, cause);
  }
}

async function checkMode(path: string): Promise<void> {
  const { mode } = await stat(path).catch((cause: unknown) => {
    throw new KeyFileError('key_missing', `There is no identity key at ${path}: run "paddock-agent init"`, { cause });
  });
  if ((mode & NOT_OWNER) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  throw new KeyFileError(
    'key_readable',
    `The identity key ${path} has mode ${octal}, others can read it: chmod 600 ${path}`,
  );
}

const invalid = (path: string, cause: unknown): KeyFileError =>
  new KeyFileError('key_invalid', `${path} is not a P-256 or Ed25519 private key in PKCS#8 PEM`, { cause });

/** r and s, 32 bytes each (RFC 7518, section 3.4), or an Ed25519 signature (RFC 8037). */
function signerOf(key: KeyObject, keyId: string): Signer {
  const algorithm: Algorithm = key.asymmetricKeyType === 'ed25519' ? 'Ed25519' : 'ES256';
  const hash = algorithm === 'ES256' ? 'sha256' : null;
  return { algorithm, keyId, sign: async (bytes) => sign(hash, bytes, { key, dsaEncoding: 'ieee-p1363' }) };
}

async function writeSynced(path: string, text: string): Promise<void> {
  await unlink(path).catch(() => {});
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, no);

/** "There is one already" and "there is none" are an answer, anything else is an error. */
function no(cause: unknown): false {
  if (cause instanceof Error && 'code' in cause && (cause.code === 'EEXIST' || cause.code === 'ENOENT')) return false;
  throw cause;
}
