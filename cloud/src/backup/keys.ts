import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  scrypt,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { BackupError } from './errors.ts';

/** What a backup is locked with: a passphrase, or the public key of somebody who keeps the private one elsewhere. */
export type LockWith = { readonly passphrase: string } | { readonly recipient: KeyObject };
/** What opens it. */
export type OpenWith = { readonly passphrase: string } | { readonly identity: KeyObject };

/** As it stands in the header of the file. */
export type LockHeader =
  | { readonly kind: 'passphrase'; readonly n: number; readonly r: number; readonly p: number; readonly salt: string }
  | { readonly kind: 'recipient'; readonly recipient: string; readonly ephemeral: string };

/** scrypt (RFC 7914): 128 MiB and some 0.4 s for each guess. */
const SCRYPT = { n: 2 ** 17, r: 8, p: 1 } as const;
const MOST_MEMORY = 300 * 1024 * 1024;
const SHORTEST_PASSPHRASE = 12;

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

/** A lock of its own for one file. @returns what the header says, and the secret that it leads to */
export async function makeLock(lock: LockWith): Promise<{ readonly header: LockHeader; readonly secret: Buffer }> {
  if ('passphrase' in lock) {
    if (lock.passphrase.length < SHORTEST_PASSPHRASE) throw new BackupError('passphrase_short');
    const header = { kind: 'passphrase', ...SCRYPT, salt: randomBytes(16).toString('base64url') } as const;
    return { header, secret: await secretOf(header, lock) };
  }
  const ephemeral = generateKeyPairSync('x25519');
  const header = {
    kind: 'recipient',
    recipient: fingerprintOf(lock.recipient),
    ephemeral: rawOf(ephemeral.publicKey),
  } as const;
  return { header, secret: diffieHellman({ privateKey: ephemeral.privateKey, publicKey: lock.recipient }) };
}

/** @throws BackupError `backup_damaged` when it is locked for somebody else; `backup_malformed`, `passphrase_missing` */
export async function secretOf(header: LockHeader, open: OpenWith): Promise<Buffer> {
  if (header.kind === 'passphrase') {
    if (!('passphrase' in open)) throw new BackupError('passphrase_missing', 'it is locked with a passphrase');
    // Whoever made the file chose these: no more memory than our own are worth.
    if (header.n > SCRYPT.n || header.r > SCRYPT.r || header.p > SCRYPT.p) throw new BackupError('backup_malformed');
    const { n: N, r, p } = header;
    const salt = Buffer.from(header.salt, 'base64url');
    return derive(open.passphrase.normalize('NFC'), salt, 32, { N, r, p, maxmem: MOST_MEMORY });
  }
  if (!('identity' in open)) throw new BackupError('passphrase_missing', 'it is locked for a recipient: give its key');
  if (fingerprintOf(createPublicKey(open.identity)) !== header.recipient)
    throw new BackupError('backup_damaged', `it is locked for the recipient ${header.recipient}`);
  return sharedSecret(open.identity, header.ephemeral);
}

function sharedSecret(privateKey: KeyObject, x: string): Buffer {
  try {
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
    return diffieHellman({ privateKey, publicKey });
  } catch (cause) {
    throw new BackupError('backup_malformed', undefined, { cause });
  }
}

/** Another key for another header: a header that was altered opens nothing (HKDF, RFC 5869). */
export const chunkKey = (secret: Buffer, headerLine: Uint8Array): Buffer =>
  Buffer.from(
    hkdfSync('sha256', secret, createHash('sha256').update(headerLine).digest(), 'paddock backup chunks', 32),
  );

/** A pair for backups. The private part opens them all: it belongs where the service is not. */
export function newIdentity(): { readonly privatePem: string; readonly publicPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** @throws BackupError `recipient_invalid` */
export const parseRecipient = (pem: string): KeyObject => x25519(() => createPublicKey(pem));
/** @throws BackupError `recipient_invalid` */
export const parseIdentity = (pem: string): KeyObject => x25519(() => createPrivateKey(pem));

function x25519(parse: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse();
  } catch (cause) {
    throw new BackupError('recipient_invalid', undefined, { cause });
  }
  if (key.asymmetricKeyType !== 'x25519') throw new BackupError('recipient_invalid');
  return key;
}

const rawOf = (key: KeyObject): string => key.export({ format: 'jwk' }).x ?? '';

/** The first 16 characters of the SHA-256 of the key's 32 bytes, base64url. */
const fingerprintOf = (key: KeyObject): string =>
  createHash('sha256').update(rawOf(key)).digest('base64url').slice(0, 16);
