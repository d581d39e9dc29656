import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { Key as KeyModel, Signature } from '@tufjs/models';
import type { Key, Keys, Metadata, Role, TopRole } from './formats.ts';

type Signable = Parameters<KeyModel['verifySignature']>[0];

/**
 * Whether a threshold of a role's keys signed. It counts public keys and not their ids: one key under two ids, or
 * written in two ways, is one.
 */
export function isSignedBy({ keyids, threshold }: Role, keys: Keys, metadata: Metadata<TopRole>): boolean {
  const signers = new Set<string>();
  for (const keyId of keyids) {
    const sig = metadata.signatures.get(keyId);
    const key = Object.hasOwn(keys, keyId) ? keys[keyId] : undefined;
    if (sig === undefined || key === undefined || !isIdOf(keyId, key)) continue;
    const signer = signerOf(keyId, key, sig, metadata.signed);
    if (signer !== null) signers.add(signer);
  }
  return signers.size >= threshold;
}

/**
 * 4.3: a key's id is the SHA-256 of its canonical form, and clients calculate it. Of members that the specification
 * does not know some tools hash them and some do not, so both are right; a key with any other id signs nothing.
 */
function isIdOf(keyId: string, key: Key): boolean {
  const { keytype, scheme, keyval } = key;
  return keyId === idOf({ keytype, scheme, keyval }) || keyId === idOf(key);
}

const idOf = (key: Key): string => createHash('sha256').update(canonicalOf(key)).digest('hex');

/** The canonical form (4.1) of a key. Strings alone are in it, or it is none. */
function canonicalOf(value: unknown): string {
  if (typeof value === 'string') return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  if (Array.isArray(value)) return `[${value.map(canonicalOf).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${canonicalOf(name)}:${canonicalOf(member)}`).join(',')}}`;
}

/**
 * Who signed; null when the signature does not verify, whatever the reason: an unknown algorithm, a key that is none.
 * What is verified is what came, member by member, and not what a model would make of it.
 */
function signerOf(keyID: string, key: Key, sig: string, signed: Metadata<TopRole>['signed']): string | null {
  const signable: Signable = {
    signatures: { [keyID]: new Signature({ keyID, sig }) },
    signed: {
      specVersion: signed.spec_version,
      version: signed.version,
      expires: signed.expires,
      unrecognizedFields: {},
      equals: () => false,
      isExpired: () => true,
      toJSON: () => ({ ...signed }),
    },
  };
  const { keytype: keyType, scheme, keyval: keyVal } = key;
  try {
    new KeyModel({ keyID, keyType, scheme, keyVal }).verifySignature(signable);
    return identityOf(key);
  } catch {
    return null;
  }
}

/** The same for every way to write a public key. */
function identityOf({ keyval, keytype }: Key): string {
  const { public: text = '' } = keyval;
  return JSON.stringify(publicKeyOf(keytype, text).export({ format: 'jwk' }));
}

function publicKeyOf(keytype: string, text: string): KeyObject {
  if (keytype !== 'ed25519' || text.startsWith('-----BEGIN')) return createPublicKey(text);
  const x = Buffer.from(text, 'hex').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}
