import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ServerTrust } from '../../ports.ts';
import { EXTENSIONS, extensionsOf, maySignHandshakes, pathLengthOf } from './extensions.ts';

/** What a server's certificate may be refused for. */
export const CERTIFICATE_FAULTS = {
  certificate_missing: 'The server showed no certificate',
  certificate_untrusted: 'No chain of authorities leads from the certificate to one that is trusted',
  certificate_malformed: 'A certificate of the chain cannot be read, or holds a critical extension that is not known',
  certificate_weak: 'A key or signature of the chain is weaker than P-256, 2048 bits of RSA or SHA-256',
  certificate_use: 'The certificate is not for servers',
  certificate_name: 'The certificate is for another name',
  certificate_expired: 'A certificate of the chain has expired',
  certificate_not_yet_valid: 'A certificate of the chain is not valid yet',
} as const;
export type CertificateFault = keyof typeof CERTIFICATE_FAULTS;

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
/** Leaf and anchor included. */
const LONGEST_PATH = 4;
/** More than these are not looked at: whoever answers must not make us compute. */
const MOST_SENT = 6;

/** SHA-256 and longer with RSA, ECDSA (RFC 4055, RFC 5758), and Ed25519 (RFC 8410). */
const SIGNATURES: readonly string[] = [
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.3.101.112',
];
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const KNOWN_EXTENSIONS: readonly string[] = Object.values(EXTENSIONS);

/**
 * The whole judgement of a server's certificate (RFC 5280, section 6.1; RFC 9525 for the name), because the library's
 * own says one thing at a time and believes the wall clock: an expired certificate of a stranger would look like one
 * of ours. Who signed it is asked first, when it holds last.
 * @param sent the leaf first, what the server sent along behind it
 * @returns null when all of it is right
 */
export function certificateFault(
  sent: readonly X509Certificate[],
  host: string,
  trust: ServerTrust,
): CertificateFault | null {
  const [leaf, ...others] = sent.slice(0, MOST_SENT);
  if (leaf === undefined) return 'certificate_missing';
  try {
    const path = pathTo([leaf], others, anchorsOf(others, trust));
    if (path === null) return 'certificate_untrusted';
    return pathFault(path) ?? leafFault(leaf, host) ?? dateFault(path, trust.time);
  } catch {
    return 'certificate_malformed';
  }
}

const fingerprintOf = (certificate: X509Certificate): string =>
  createHash('sha256').update(certificate.raw).digest('base64url');

function anchorsOf(sent: readonly X509Certificate[], { authorities, fingerprint }: ServerTrust): X509Certificate[] {
  const known = authorities.map((der) => new X509Certificate(der));
  return fingerprint === null ? known : [...known, ...sent.filter((one) => fingerprintOf(one) === fingerprint)];
}

/** The first path from the leaf to an anchor of which each certificate signed the one before; null when there is none. */
function pathTo(
  path: readonly X509Certificate[],
  sent: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): X509Certificate[] | null {
  const last = path.at(-1);
  if (last === undefined || path.length >= LONGEST_PATH) return null;
  const anchor = anchors.find((candidate) => isIssuer(candidate, last, path.length - 1));
  if (anchor) return [...path, anchor];
  for (const between of sent) {
    if (path.includes(between) || !isIssuer(between, last, path.length - 1)) continue;
    const found = pathTo([...path, between], sent, anchors);
    if (found) return found;
  }
  return null;
}

/** @param below how many authorities stand between the candidate and the leaf */
function isIssuer(candidate: X509Certificate, certificate: X509Certificate, below: number): boolean {
  if (!candidate.ca || !certificate.checkIssued(candidate) || !certificate.verify(candidate.publicKey)) return false;
  const most = pathLengthOf(extensionsOf(candidate.raw));
  return most === null || below <= most;
}

function pathFault(path: readonly X509Certificate[]): CertificateFault | null {
  const authorities = path.slice(1);
  const hasUnknown = path.some(({ raw }) =>
    extensionsOf(raw).some(({ id, critical }) => critical && !KNOWN_EXTENSIONS.includes(id)),
  );
  if (hasUnknown) return 'certificate_malformed';
  // Nobody verifies an anchor's signature on itself: it is believed for what it is.
  const signed = path.slice(0, -1);
  const isStrong = path.every(({ publicKey }) => isStrongKey(publicKey)) && signed.every(isWellSigned);
  if (!isStrong) return 'certificate_weak';
  // What restricts an authority restricts what it issues.
  const isForServers = authorities.every(({ keyUsage }) => keyUsage === undefined || keyUsage.includes(SERVER_AUTH));
  return isForServers ? null : 'certificate_use';
}

const isWellSigned = ({ signatureAlgorithmOid }: X509Certificate): boolean =>
  SIGNATURES.includes(signatureAlgorithmOid);

function isStrongKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa') return (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
  if (asymmetricKeyType === 'ec') return CURVES.includes(asymmetricKeyDetails?.namedCurve);
  return asymmetricKeyType === 'ed25519';
}

/** Node calls the extended key usage `keyUsage`. The name is in the subject's alternatives alone. */
function leafFault(leaf: X509Certificate, host: string): CertificateFault | null {
  if (!leaf.keyUsage?.includes(SERVER_AUTH) || !maySignHandshakes(extensionsOf(leaf.raw))) return 'certificate_use';
  const named =
    isIP(host) === 0 ? leaf.checkHost(host, { subject: 'never', partialWildcards: false }) : leaf.checkIP(host);
  return named === undefined ? 'certificate_name' : null;
}

function dateFault(path: readonly X509Certificate[], time: ServerTrust['time']): CertificateFault | null {
  if (time === null) return null;
  const { earliest, latest } = time;
  // Not the other way round: a date that cannot be read compares with nothing.
  if (!path.every(({ validToDate }) => validToDate.getTime() >= earliest)) return 'certificate_expired';
  if (latest === null) return null;
  return path.every(({ validFromDate }) => validFromDate.getTime() <= latest) ? null : 'certificate_not_yet_valid';
}
