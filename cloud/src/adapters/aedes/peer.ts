import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { isDeviceId } from '@paddock/shared/topics.ts';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { ConnectionRefusal } from '../../ports.ts';

/** A device, as its certificate proves it. */
export interface TlsPeer {
  readonly deviceId: string;
  /** In hexadecimal, lower case. */
  readonly serial: string;
  readonly notAfter: WallMs;
  readonly address: string | null;
  /** The authority that issued the certificate. */
  readonly issuer: X509Certificate;
}

/**
 * What the TLS library says of a certificate that it does not accept, by our codes. The names only choose the word:
 * whatever it does not accept is refused.
 */
const LIBRARY_CODES: Readonly<Record<string, ConnectionRefusal>> = {
  CERT_HAS_EXPIRED: 'certificate_expired',
  CERT_NOT_YET_VALID: 'certificate_not_yet_valid',
  INVALID_PURPOSE: 'certificate_unfit',
};

/** id-kp-clientAuth (RFC 5280, section 4.2.1.12); a certificate that names no use would pass the library. */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/**
 * Who is on the other side of a finished handshake: a certificate of our authority, valid now, for clients, with the
 * device's id as its common name and in its URI, and nothing else in either.
 */
export function peerOf(
  socket: TLSSocket,
  authorities: readonly X509Certificate[],
): TlsPeer | { readonly refused: ConnectionRefusal } {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { refused: 'certificate_missing' };
  if (!socket.authorized) {
    const said = socket.authorizationError as unknown;
    return { refused: LIBRARY_CODES[String(said)] ?? 'certificate_untrusted' };
  }
  const issuer = issuerOf(certificate, authorities);
  if (issuer === undefined) return { refused: 'certificate_untrusted' };
  if (!certificate.keyUsage?.includes(CLIENT_AUTH)) return { refused: 'certificate_unfit' };
  const deviceId = certificate.subject.startsWith('CN=') ? certificate.subject.slice(3) : '';
  if (!isDeviceId(deviceId) || certificate.subjectAltName !== `URI:urn:paddock:device:${deviceId}`)
    return { refused: 'certificate_unfit' };
  return {
    deviceId,
    serial: certificate.serialNumber.toLowerCase(),
    notAfter: wallMs(certificate.validToDate.getTime()),
    address: socket.remoteAddress ?? null,
    issuer,
  };
}

/**
 * Which of them issued it, directly: what they may have let others issue is no device's. Names and key ids may be those of
 * several, so that its signature decides.
 */
export const issuerOf = (
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
): X509Certificate | undefined =>
  authorities.find((authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
