import './reflection.ts';
import { randomBytes } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  type JsonGeneralNames,
  type X509Certificate,
} from '@peculiar/x509';
import { toDate, toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { AuthorityKey } from './authority-key.ts';
import { TrustError } from './errors.ts';

const DAY_MS = 86_400_000;
/** Other machines' clocks may be behind ours. */
export const BACKDATED_MS = 300_000;

/** How long each kind of certificate lives, and what for (RFC 5280, section 4.2.1.12). */
const PROFILES = {
  device: { lifeMs: 30 * DAY_MS, use: ExtendedKeyUsage.clientAuth },
  /** The service itself, as a client of a broker beside it. */
  service: { lifeMs: 365 * DAY_MS, use: ExtendedKeyUsage.clientAuth },
  /** The service in a device's place, for the moment that it takes to take its connection over. */
  eviction: { lifeMs: 300_000, use: ExtendedKeyUsage.clientAuth },
  server: { lifeMs: 90 * DAY_MS, use: ExtendedKeyUsage.serverAuth },
  /** The server of a broker beside the service, whose certificate is changed by hand. */
  broker: { lifeMs: 365 * DAY_MS, use: ExtendedKeyUsage.serverAuth },
} as const;
/** 20 years. */
const AUTHORITY_LIFE_MS = 7_305 * DAY_MS;

export interface Subject {
  readonly profile: keyof typeof PROFILES;
  readonly commonName: string;
  readonly alternativeNames: JsonGeneralNames;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
}

export interface Validity {
  readonly notBefore: WallMs;
  readonly notAfter: WallMs;
}

/** Whose life is shorter issues nothing any more: what it issued would be of no use to anybody. */
const LEAST_LIFE_MS = 3_600_000;

/**
 * Dates of certificates are whole seconds (RFC 5280, section 4.1.2.5); nothing outlives its issuer.
 * @throws TrustError `ca_unfit` when too little life is left to the issuer
 */
export function validityOf(profile: keyof typeof PROFILES, now: WallMs, issuerNotAfter: WallMs): Validity {
  const second = Math.floor(now / 1000) * 1000;
  const notAfter = Math.min(second + PROFILES[profile].lifeMs, issuerNotAfter);
  if (issuerNotAfter - second < LEAST_LIFE_MS)
    throw new TrustError('ca_unfit', `it ends at ${toInstant(issuerNotAfter)}: another one has to issue`);
  return { notBefore: wallMs(second - BACKDATED_MS), notAfter: wallMs(notAfter) };
}

/** A certificate by this issuer. Name and names are what we say, never what a request asked for. */
export async function certify(
  { certificate, signingKey }: { certificate: X509Certificate; signingKey: AuthorityKey },
  { profile, commonName, alternativeNames, spki }: Subject,
  { notBefore, notAfter }: Validity,
): Promise<X509Certificate> {
  const publicKey = Uint8Array.from(spki);
  return X509CertificateGenerator.create({
    serialNumber: newSerial(),
    issuer: certificate.subjectName,
    subject: [{ CN: [commonName] }],
    notBefore: toDate(notBefore),
    notAfter: toDate(notAfter),
    publicKey,
    signingKey: signingKey.privateKey,
    signingAlgorithm: signingKey.algorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([PROFILES[profile].use]),
      new SubjectAlternativeNameExtension(alternativeNames),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await authorityKeyIdentifier(certificate),
    ],
  });
}

/** The authority's own certificate. It may issue certificates of others, and no authorities. */
export async function certifyAuthority(key: AuthorityKey, now: WallMs): Promise<X509Certificate> {
  return X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [`Paddock CA ${randomBytes(4).toString('hex')}`] }],
    notBefore: toDate(wallMs(now - BACKDATED_MS)),
    notAfter: toDate(wallMs(now + AUTHORITY_LIFE_MS)),
    keys: key,
    signingAlgorithm: key.algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(key.publicKey),
    ],
  });
}

/** Names the issuer's key as the issuer's own certificate does. */
export async function authorityKeyIdentifier(issuer: X509Certificate): Promise<AuthorityKeyIdentifierExtension> {
  const own = issuer.getExtension(SubjectKeyIdentifierExtension);
  return own
    ? new AuthorityKeyIdentifierExtension(own.keyId)
    : AuthorityKeyIdentifierExtension.create(issuer.publicKey);
}

/** 16 random bytes; the first one keeps the number positive and its length the same (RFC 5280, section 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
