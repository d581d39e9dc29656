import { createHash, X509Certificate } from 'node:crypto';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';

/** AWS IoT's own certificates end in 2049; a TLS key is changed sooner than that. */
const RENEWED_AFTER_MS = 365 * 86_400_000;

/** SHA-256 of a public key's SubjectPublicKeyInfo, base64url. */
export const digestOf = (spki: Uint8Array): string => createHash('sha256').update(spki).digest('base64url');

/** As AWS IoT takes a certificate request. */
export const requestPem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${(
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  ).join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;

/** The digest of a certificate's public key. */
export const keyDigestOf = (pem: string): string =>
  digestOf(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }));

/** When a certificate that was asked for then is due to be replaced. */
export const renewalOf = (askedAt: number): WallMs => wallMs(askedAt + RENEWED_AFTER_MS);

/** Certificates asked for before this are due. */
export const dueBefore = (now: number): number => now - RENEWED_AFTER_MS;

/** What a device is told of its certificate. */
export interface TransportCertificate {
  /** DER: the certificate first. AWS IoT knows its own issuer, so nothing stands behind it. */
  readonly chain: Uint8Array[];
  readonly serial: string;
  readonly notBefore: WallMs;
  readonly notAfter: WallMs;
  readonly renewAfter: WallMs;
}

export function transportCertificate(pem: string, askedAt: number): TransportCertificate {
  const certificate = new X509Certificate(pem);
  const notAfter = wallMs(certificate.validToDate.getTime());
  return {
    chain: [new Uint8Array(certificate.raw)],
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: wallMs(certificate.validFromDate.getTime()),
    notAfter,
    renewAfter: wallMs(Math.min(renewalOf(askedAt), notAfter)),
  };
}
