import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import type { Key, Keys, Metadata, Role, TopRole } from './formats.ts';
import { signerOf } from './public-keys.ts';

/**
 * Whether a threshold of a role's keys signed. It counts public keys and not their ids: one key under two ids, or
 * written in two ways, is one. What is verified is what came, member by member, those included that nobody knows.
 */
export function isSignedBy({ keyids, threshold }: Role, keys: Keys, metadata: Metadata<TopRole>): boolean {
  const signed = canonicalBytes(metadata.signed);
  if (signed === null) return false;
  const signers = new Set<string>();
  for (const keyId of keyids) {
    const sig = metadata.signatures.get(keyId);
    const key = Object.hasOwn(keys, keyId) ? keys[keyId] : undefined;
    if (sig === undefined || key === undefined || !isIdOf(keyId, key)) continue;
    const signer = signerOf(key, sig, signed);
    if (signer !== null) signers.add(signer);
  }
  return signers.size >= threshold;
}

/** Null for what has no canonical form: nobody can have signed it. */
function canonicalBytes(signed: object): Uint8Array | null {
  try {
    return new TextEncoder().encode(canonicalJson(signed));
  } catch {
    return null;
  }
}

/**
 * 4.3: a key's id is the SHA-256 of its canonical form, and clients calculate it. Of members that the specification
 * does not know some tools hash them and some do not, so both are right; a key with any other id signs nothing.
 */
function isIdOf(keyId: string, key: Key): boolean {
  const { keytype, scheme, keyval } = key;
  return keyId === idOf({ keytype, scheme, keyval }) || keyId === idOf(key);
}

function idOf(key: Key): string | null {
  const bytes = canonicalBytes(key);
  return bytes && createHash('sha256').update(bytes).digest('hex');
}
