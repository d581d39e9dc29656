import './reflection.ts';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { TrustError } from './errors.ts';

/** What counts of a certificate request: whose key it is. Name and wishes of the requester are not looked at. */
export interface RequestedKey {
  /** SubjectPublicKeyInfo in DER, in the one spelling that this key has. */
  readonly spki: Uint8Array;
  /** RFC 7638, SHA-256, base64url: comparable with the thumbprints of identity keys. */
  readonly thumbprint: string;
}

/** Far more than a request with a P-256 key and every extension that tools write. */
const MAX_BYTES = 6_144;
/** A SEQUENCE of DER (X.690, section 8.9). */
const SEQUENCE = 0x30;

/**
 * Reads a certificate request (PKCS#10, RFC 2986) and checks that its sender holds the key.
 * @throws TrustError `csr_malformed`, `csr_key_unsupported`, `csr_signature_invalid`
 */
export async function parseRequest(der: Uint8Array): Promise<RequestedKey> {
  const request = parsed(der);
  const jwk = supportedJwk(keyIn(request));
  const spki = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'der' });
  // Such as with the curve's parameters spelled out in place of its name.
  if (!spki.equals(new Uint8Array(request.publicKey.rawData)))
    throw new TrustError('csr_key_unsupported', 'spelled in another way');
  if (!(await isSigned(request))) throw new TrustError('csr_signature_invalid');
  return { spki, thumbprint: await calculateJwkThumbprint(jwk, 'sha256') };
}

function parsed(der: Uint8Array): Pkcs10CertificateRequest {
  // The library would also take text of several kinds, and bytes behind the end.
  if (der.length > MAX_BYTES || !isOneSequence(der)) throw new TrustError('csr_malformed');
  try {
    return new Pkcs10CertificateRequest(Uint8Array.from(der));
  } catch (cause) {
    throw new TrustError('csr_malformed', undefined, { cause });
  }
}

/** Whether the bytes are one SEQUENCE in DER, from the first to the last (X.690, section 8.1.3). */
function isOneSequence(der: Uint8Array): boolean {
  const [tag, length = 0] = der;
  if (tag !== SEQUENCE) return false;
  const lengthBytes = length < 0x80 ? 0 : length & 0x7f;
  const long = der.subarray(2, 2 + lengthBytes).reduce((sum, byte) => sum * 256 + byte, 0);
  return der.length === 2 + lengthBytes + (lengthBytes === 0 ? length : long);
}

function keyIn(request: Pkcs10CertificateRequest): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new TrustError('csr_key_unsupported', undefined, { cause });
  }
}

function supportedJwk(key: KeyObject): JWK {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type !== 'ed25519' && !(type === 'ec' && details?.namedCurve === 'prime256v1'))
    throw new TrustError('csr_key_unsupported', type);
  return key.export({ format: 'jwk' });
}

async function isSigned(request: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify();
  } catch {
    // An algorithm that does not fit the key, or none that is known.
    return false;
  }
}
