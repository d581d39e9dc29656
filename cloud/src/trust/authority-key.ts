import { createPrivateKey, createPublicKey, webcrypto, type KeyObject } from 'node:crypto';
import { TrustError } from './errors.ts';

/** A key pair that certificates are signed with, as the X.509 library takes it. */
export interface AuthorityKey {
  readonly privateKey: webcrypto.CryptoKey;
  readonly publicKey: webcrypto.CryptoKey;
  readonly algorithm: { readonly name: string; readonly hash: string };
  /** SubjectPublicKeyInfo in DER: what the certificate has to hold. */
  readonly spki: Uint8Array;
}

type Algorithm = AuthorityKey['algorithm'] & { readonly namedCurve?: string };

const CURVES: Readonly<Record<string, Algorithm>> = {
  prime256v1: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
};
const RSA: Algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
const MIN_RSA_BITS = 2_048;

/** @throws TrustError `ca_unreadable`, `ca_key_unsupported` */
export async function importAuthorityKey(pem: string): Promise<AuthorityKey> {
  const key = readKey(pem);
  const algorithm = algorithmOf(key);
  const publicKey = createPublicKey(key);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
    algorithm,
    spki,
  };
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new TrustError('ca_unreadable', 'the key', { cause });
  }
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): Algorithm {
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS) return RSA;
  const curve = type === 'ec' ? CURVES[details?.namedCurve ?? ''] : undefined;
  if (curve === undefined) throw new TrustError('ca_key_unsupported', type);
  return curve;
}
