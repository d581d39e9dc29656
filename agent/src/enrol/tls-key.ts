import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';

/** The key of one certificate of the device: made on the device for one request, and never its identity key. */
export interface TlsKey {
  /** PKCS#8 PEM, for the TLS library. */
  readonly pem: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** ECDSA with SHA-256, in DER as certificates have it. */
  sign(bytes: Uint8Array): Uint8Array;
}

/** A new P-256 key for each request: who stole the one before has nothing of the next certificate. */
export const newTlsKey = (): TlsKey =>
  tlsKeyOf(
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );

/** @param pem PKCS#8 */
export function tlsKeyOf(pem: string): TlsKey {
  const key = createPrivateKey(pem);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return { pem, publicKey, sign: (bytes) => sign('sha256', bytes, key) };
}
