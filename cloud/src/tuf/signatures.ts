import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { canonicalize } from '@tufjs/canonical-json';
import { RepositoryError } from './repository-error.ts';
import type { Key, Keys, Metadata, Role, RoleName } from './formats.ts';

/** Who signs: the secret stays where it is. */
export interface Signer {
  readonly keyId: string;
  readonly key: Key;
  /** @returns lower-case hex */
  sign(bytes: Uint8Array): string;
}

/** Canonical JSON (4.1): what is hashed and signed. */
const canonicalBytes = (value: object): Uint8Array => new TextEncoder().encode(canonicalize(value));

/** 4.3: clients calculate the id of a key, and take no other. */
export const keyIdOf = (key: Key): string => createHash('sha256').update(canonicalBytes(key)).digest('hex');

/** @param key Ed25519, private or public */
export function publicKeyOf(key: KeyObject): Key {
  const { x = '' } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  return { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: Buffer.from(x, 'base64url').toString('hex') } };
}

/** @param privateKey Ed25519 */
export function signerOf(privateKey: KeyObject): Signer {
  const key = publicKeyOf(privateKey);
  return { keyId: keyIdOf(key), key, sign: (bytes) => sign(null, bytes, privateKey).toString('hex') };
}

/** Adds a signature, or makes it anew. */
export function withSignature<M extends Metadata<RoleName>>(metadata: M, signer: Signer): M {
  const sig = signer.sign(canonicalBytes(metadata.signed));
  const others = metadata.signatures.filter(({ keyid }) => keyid !== signer.keyId);
  return { ...metadata, signatures: [...others, { keyid: signer.keyId, sig }] };
}

/** The keys of a role that signed, as far as their signatures verify. */
export function signersOf({ keyids }: Role, keys: Keys, { signed, signatures }: Metadata<RoleName>): string[] {
  const bytes = canonicalBytes(signed);
  const byKey = new Map(signatures.map(({ keyid, sig }) => [keyid, sig]));
  return keyids.filter((id) => {
    const [key, sig] = [Object.hasOwn(keys, id) ? keys[id] : undefined, byKey.get(id)];
    return key !== undefined && sig !== undefined && isVerified(key, bytes, sig);
  });
}

/** @throws RepositoryError `metadata_unsigned` */
export function checkSigned(role: Role, keys: Keys, metadata: Metadata<RoleName>, by: string): void {
  const signers = signersOf(role, keys, metadata);
  if (signers.length < role.threshold)
    throw new RepositoryError('metadata_unsigned', `${signers.length} of ${role.threshold} ${by}`);
}

function isVerified({ keyval }: Key, bytes: Uint8Array, sig: string): boolean {
  const x = Buffer.from(keyval.public, 'hex').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return verify(null, bytes, key, Buffer.from(sig, 'hex'));
}
