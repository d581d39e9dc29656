import './reflection.ts';
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { BasicConstraintsExtension, X509Certificate as DetailedCertificate } from '@peculiar/x509';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { TlsIdentity } from '../ports.ts';
import { TrustError } from './errors.ts';

/** What a server shows, and the authority that devices believe it for. */
export interface Shown {
  /** Its certificates go up to that authority: who knows only the authority's fingerprint finds it there. */
  readonly identity: TlsIdentity;
  /** DER. */
  readonly anchor: Uint8Array;
  readonly notAfter: WallMs;
}

export interface GivenTerms {
  /** Names and addresses that devices reach the service by. */
  readonly hosts: readonly string[];
  /** Authorities that devices believe: DER. */
  readonly listed: readonly Uint8Array[];
  /** Those that the settings name, to be listed: DER. */
  readonly named: readonly Uint8Array[];
  readonly now: WallMs;
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
/** Leaf and anchor included, as devices bound it. */
const LONGEST_PATH = 4;
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const MIN_RSA_BITS = 2_048;
/** Key usage, alternative names, basic constraints, extended key usage: devices refuse another one that is critical. */
const KNOWN_EXTENSIONS: readonly string[] = ['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.37'];

/**
 * Judges a server certificate from outside as devices will, so that a wrong one is told here and not by a fleet that
 * stays away.
 * @throws TrustError `server_certificate_unreadable`, `_mismatch`, `_unfit`, `_hosts`, `_dates`, `_untrusted`, `_unlisted`
 */
export function judgeGiven({ key, cert }: TlsIdentity, { hosts, listed, named, now }: GivenTerms): Shown {
  const [leaf, ...sent] = certificatesIn(cert);
  if (leaf === undefined) throw new TrustError('server_certificate_unreadable', 'there is no certificate');
  const privateKey = privateKeyIn(key);
  if (!leaf.checkPrivateKey(privateKey)) throw new TrustError('server_certificate_mismatch');
  requireHosts(leaf, hosts);
  const path = pathTo([leaf], sent, listed.map(parsed));
  if (path === null) {
    const code = pathTo([leaf], sent, named.map(parsed)) === null ? 'untrusted' : 'unlisted';
    throw new TrustError(`server_certificate_${code}`);
  }
  requireFit(path);
  requireDates(path, now);
  const identity = {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: path.map((one) => one.toString()).join(''),
  };
  const notAfter = wallMs(Math.min(...path.map(({ validToDate }) => validToDate.getTime())));
  return { identity, anchor: new Uint8Array((path.at(-1) ?? leaf).raw), notAfter };
}

/** Certificates in PEM, in their order. @throws TrustError `server_certificate_unreadable` */
export function certificatesIn(pem: string): X509Certificate[] {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return texts.map((text) => new X509Certificate(text));
  } catch (cause) {
    throw new TrustError('server_certificate_unreadable', 'a certificate', { cause });
  }
}

function privateKeyIn(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new TrustError('server_certificate_unreadable', 'the key', { cause });
  }
}

const parsed = (der: Uint8Array): X509Certificate => new X509Certificate(der);

/** The first path from the leaf to an anchor, each signed by the next; null when there is none. */
function pathTo(
  path: readonly X509Certificate[],
  sent: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): X509Certificate[] | null {
  const last = path.at(-1);
  if (last === undefined || path.length >= LONGEST_PATH) return null;
  const anchor = anchors.find((candidate) => hasIssued(candidate, last, path.length - 1));
  if (anchor) return [...path, anchor];
  for (const between of sent) {
    if (path.includes(between) || !hasIssued(between, last, path.length - 1)) continue;
    const found = pathTo([...path, between], sent, anchors);
    if (found) return found;
  }
  return null;
}

/** @param below how many authorities stand between the candidate and the leaf */
function hasIssued(candidate: X509Certificate, certificate: X509Certificate, below: number): boolean {
  if (!candidate.ca || !certificate.checkIssued(candidate) || !certificate.verify(candidate.publicKey)) return false;
  const most = detailed(candidate).getExtension(BasicConstraintsExtension)?.pathLength;
  return most === undefined || below <= most;
}

const detailed = (certificate: X509Certificate): DetailedCertificate =>
  new DetailedCertificate(Uint8Array.from(certificate.raw));

const IP_ADDRESS = /^[0-9.]+$|:/;

function requireHosts(leaf: X509Certificate, hosts: readonly string[]): void {
  const missing = hosts.filter((host) => {
    const named = IP_ADDRESS.test(host)
      ? leaf.checkIP(host)
      : leaf.checkHost(host, { subject: 'never', partialWildcards: false });
    return named === undefined;
  });
  if (missing.length > 0) throw new TrustError('server_certificate_hosts', missing.join(', '));
}

function requireFit(path: readonly X509Certificate[]): void {
  const [leaf, ...authorities] = path;
  if (!leaf?.keyUsage?.includes(SERVER_AUTH)) throw new TrustError('server_certificate_unfit', 'it is not for servers');
  if (authorities.some(({ keyUsage }) => keyUsage !== undefined && !keyUsage.includes(SERVER_AUTH)))
    throw new TrustError('server_certificate_unfit', 'its authority may not issue certificates of servers');
  for (const one of path) {
    if (!isStrong(one.publicKey)) throw new TrustError('server_certificate_unfit', `a weak key: ${one.subject}`);
    const strange = detailed(one).extensions.find(({ critical, type }) => critical && !KNOWN_EXTENSIONS.includes(type));
    if (strange) throw new TrustError('server_certificate_unfit', `a critical extension ${strange.type}`);
  }
}

function isStrong({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === 'rsa') return (details?.modulusLength ?? 0) >= MIN_RSA_BITS;
  return type === 'ed25519' || (type === 'ec' && CURVES.includes(details?.namedCurve));
}

function requireDates(path: readonly X509Certificate[], now: WallMs): void {
  for (const { validFromDate, validToDate, subject } of path)
    if (!(validFromDate.getTime() <= now && now <= validToDate.getTime()))
      throw new TrustError('server_certificate_dates', `${subject}, until ${validToDate.toISOString()}`);
}
