import type { webcrypto } from 'node:crypto';
import type { Signing } from '@paddock/shared/envelope.ts';
import { importVerificationKey, type Algorithm, type VerificationKey } from '@paddock/shared/keys.ts';

type Jwk = VerificationKey['jwk'];

/** A key pair of a test: signs as a device or a cloud does, and verifies. */
export interface TestKey {
  readonly signing: Signing;
  readonly verification: VerificationKey;
  readonly publicJwk: Jwk;
  readonly privateJwk: Jwk;
}

const PARAMETERS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  Ed25519: { name: 'Ed25519' },
  EdDSA: { name: 'Ed25519' },
} as const satisfies Record<Algorithm, { name: string; namedCurve?: string; hash?: string }>;

/** Makes a new key pair. */
export async function makeTestKey(algorithm: Algorithm = 'ES256'): Promise<TestKey> {
  const pair = (await crypto.subtle.generateKey(PARAMETERS[algorithm], true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  return testKeyFrom(await crypto.subtle.exportKey('jwk', pair.privateKey), algorithm);
}

/** Takes a private JWK, such as one of the golden vectors. */
export async function testKeyFrom(privateJwk: Jwk, algorithm: Algorithm = 'ES256'): Promise<TestKey> {
  const verification = await importVerificationKey(privateJwk);
  // The names in a JWK would have to fit each other (RFC 9864 renamed EdDSA): only the numbers count.
  const { kty, crv, x, y, d } = privateJwk;
  const key = await crypto.subtle.importKey('jwk', { kty, crv, x, y, d }, PARAMETERS[algorithm], false, ['sign']);
  const sign = async (bytes: Uint8Array): Promise<Uint8Array> =>
    new Uint8Array(await crypto.subtle.sign(PARAMETERS[algorithm], key, Uint8Array.from(bytes)));
  const signing = { algorithm, keyId: verification.keyId, sign };
  return { signing, verification, publicJwk: verification.jwk, privateJwk };
}
