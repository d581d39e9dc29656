import { calculateJwkThumbprint, importJWK, type CryptoKey, type JWK } from 'jose';
import { isCanonicalBase64url } from './base64url.ts';

/** ES256 is P-256 with SHA-256; Ed25519 is RFC 9864's name, EdDSA the older one for the same signature. */
export const ALGORITHMS = ['ES256', 'Ed25519', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** A public key that was parsed and found fit to verify with. */
export interface VerificationKey {
  /** RFC 7638 thumbprint, SHA-256, base64url: what a key is stored and compared by. */
  readonly thumbprint: string;
  /** The thumbprint's first 12 characters: looks the key up, proves nothing. */
  readonly keyId: string;
  /** Pinned to the key: no header can choose another. */
  readonly algorithms: readonly Algorithm[];
  readonly jwk: JWK;
  readonly key: CryptoKey;
}

/** A JWK Set (RFC 7517, section 5). */
export interface KeySet {
  readonly keys: readonly JWK[];
}

export class KeyError extends Error {
  override readonly name = 'KeyError';
  readonly code = 'key_unsupported';
}

export const keyIdOf = (thumbprint: string): string => thumbprint.slice(0, 12);

/**
 * Takes the public part of a P-256 or Ed25519 key.
 * @throws KeyError `key_unsupported` for any other key, or one that is not on its curve.
 */
export async function importVerificationKey(jwk: JWK): Promise<VerificationKey> {
  const { publicJwk, algorithms } = publicPart(jwk);
  // A coordinate in a second spelling would give the same key a second thumbprint.
  if (![publicJwk.x, publicJwk.y ?? ''].every((text) => typeof text === 'string' && isCanonicalBase64url(text)))
    throw new KeyError('The coordinates of the key are not canonical base64url');
  try {
    const thumbprint = await calculateJwkThumbprint(publicJwk, 'sha256');
    const key = (await importJWK(publicJwk, algorithms[0])) as CryptoKey;
    return { thumbprint, keyId: keyIdOf(thumbprint), algorithms, jwk: publicJwk, key };
  } catch (cause) {
    throw new KeyError('The key is not a valid public key', { cause });
  }
}

function publicPart(jwk: JWK): { publicJwk: JWK; algorithms: readonly [Algorithm, ...Algorithm[]] } {
  const { kty, crv, x, y } = jwk;
  if (kty === 'EC' && crv === 'P-256') return { publicJwk: { kty, crv, x, y }, algorithms: ['ES256'] };
  if (kty === 'OKP' && crv === 'Ed25519') return { publicJwk: { kty, crv, x }, algorithms: ['Ed25519', 'EdDSA'] };
  throw new KeyError(`A key of type ${String(kty)} ${crv ?? ''} is not supported: use P-256 or Ed25519`);
}
