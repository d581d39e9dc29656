import './reflection.ts';
import { createHash, X509Certificate as ParsedCertificate } from 'node:crypto';
import { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, X509Certificate } from '@peculiar/x509';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import { importAuthorityKey, type AuthorityKey } from './authority-key.ts';
import { TrustError } from './errors.ts';
import { parseRequest } from './issue-request.ts';
import { certify, certifyAuthority, validityOf, type Subject } from './issue.ts';
import { revocationList, type Revoked } from './revocation-list.ts';

/** A certificate that was issued. */
export interface Issued {
  /** DER: the certificate first, its issuer behind it. */
  readonly chain: Uint8Array[];
  /** In hexadecimal, lower case, 32 digits. */
  readonly serial: string;
  readonly notBefore: WallMs;
  readonly notAfter: WallMs;
  /** A third of its life is over: the time to ask for the next one. */
  readonly renewAfter: WallMs;
}

export interface IssuedToDevice extends Issued {
  /** RFC 7638 thumbprint of the identity key that asked for it. */
  readonly identityThumbprint: string;
  /** The same of the TLS key that it is for. */
  readonly tlsThumbprint: string;
  /** The authority that issued it: SHA-256 of its certificate, in hexadecimal. */
  readonly authority: string;
}

export interface DeviceRequest {
  /** PKCS#10 in DER: the TLS key, proved to be held. */
  readonly csr: Uint8Array;
  /** A valid device id. */
  readonly deviceId: string;
  readonly identityThumbprint: string;
  readonly now: WallMs;
}

export interface ServerRequest {
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  /** Names and addresses that clients reach it by. */
  readonly hosts: readonly string[];
  /** `broker`: for a broker beside the service, changed by hand and therefore longer. */
  readonly profile?: 'server' | 'broker';
  readonly now: WallMs;
}

/** The cloud's certificate authority: what it signs, devices and brokers believe. */
export interface Authority {
  readonly certificateDer: Uint8Array;
  readonly certificatePem: string;
  /** SHA-256 of the DER, base64url: what claims pin. */
  readonly fingerprint: string;
  /** The same in hexadecimal: how people and tables call it, by its beginning. */
  readonly id: string;
  /** Nothing that it issued is good after that. */
  readonly notAfter: WallMs;
  /**
   * A client certificate: CN and URI name the device; nothing else of the request than its key is taken over.
   * @throws TrustError `csr_malformed`, `csr_signature_invalid`, `csr_key_unsupported`, `csr_key_is_identity`; `ca_unfit`
   *   of all that it issues, when too little of its own life is left
   */
  issueDevice(request: DeviceRequest): Promise<IssuedToDevice>;
  issueServer(request: ServerRequest): Promise<Issued>;
  /** A client certificate for the service itself, by a name that no device can have. */
  issueService(request: { name: string; spki: Uint8Array; now: WallMs }): Promise<Issued>;
  /**
   * A client certificate of minutes in a device's name with a key of the service's own: whoever connects with it takes
   * the device's connection over, at a broker that closes none when it is told to.
   */
  issueEviction(request: { deviceId: string; spki: Uint8Array; now: WallMs }): Promise<Issued>;
  /** A revocation list (RFC 5280, section 5) in PEM. */
  revocationList(revoked: readonly Revoked[], now: WallMs): Promise<string>;
}

/** The certificate of a new authority with this key, in PEM. @throws TrustError as importAuthorityKey */
export async function newAuthorityCertificate(keyPem: string, now: WallMs): Promise<string> {
  const certificate = await certifyAuthority(await importAuthorityKey(keyPem), now);
  return `${certificate.toString('pem')}\n`;
}

/**
 * Whether it has ended is another question.
 * @param pem of the private key and of its certificate; what stands behind the first certificate is not read
 * @throws TrustError `ca_unreadable`, `ca_key_unsupported`, `ca_mismatch`, `ca_unfit`
 */
export async function openAuthority(pem: { readonly key: string; readonly certificate: string }): Promise<Authority> {
  const signingKey = await importAuthorityKey(pem.key);
  const certificate = readCertificate(pem.certificate);
  requireFit(certificate, signingKey);
  return authorityOf(certificate, signingKey);
}

function authorityOf(certificate: X509Certificate, signingKey: AuthorityKey): Authority {
  const der = new Uint8Array(certificate.rawData);
  const digest = createHash('sha256').update(der).digest();
  const issuer = { certificate, signingKey };
  const notAfter = wallMs(certificate.notAfter.getTime());
  const issue = async (subject: Subject, now: WallMs): Promise<Issued> => {
    const validity = validityOf(subject.profile, now, notAfter);
    const made = await certify(issuer, subject, validity);
    const renewAfter = wallMs(now + Math.floor((validity.notAfter - now) / 3));
    return { chain: [new Uint8Array(made.rawData), der], serial: made.serialNumber, ...validity, renewAfter };
  };
  return {
    certificateDer: der,
    certificatePem: `${certificate.toString('pem')}\n`,
    fingerprint: digest.toString('base64url'),
    id: digest.toString('hex'),
    notAfter,
    async issueDevice({ csr, deviceId, identityThumbprint, now }) {
      const { spki, thumbprint } = await parseRequest(csr);
      if (thumbprint === identityThumbprint) throw new TrustError('csr_key_is_identity');
      const issued = await issue({ profile: 'device', ...namesOf(deviceId), spki }, now);
      return { ...issued, identityThumbprint, tlsThumbprint: thumbprint, authority: digest.toString('hex') };
    },
    issueServer: ({ spki, hosts, profile = 'server', now }) =>
      issue({ profile, commonName: 'Paddock', alternativeNames: hosts.map(nameOfHost), spki }, now),
    issueService: ({ name, spki, now }) =>
      issue({ profile: 'service', commonName: name, alternativeNames: [nameOfHost(name)], spki }, now),
    issueEviction: ({ deviceId, spki, now }) => issue({ profile: 'eviction', ...namesOf(deviceId), spki }, now),
    revocationList: (revoked, now) => revocationList(issuer, revoked, now),
  };
}

const namesOf = (deviceId: string) => ({
  commonName: deviceId,
  alternativeNames: [{ type: 'url', value: `urn:paddock:device:${deviceId}` } as const],
});

const nameOfHost = (host: string) => ({ type: /^[0-9.]+$|:/.test(host) ? 'ip' : 'dns', value: host }) as const;

function readCertificate(pem: string): X509Certificate {
  try {
    // Node's own parser is the stricter one, and reads the first of several.
    return new X509Certificate(Uint8Array.from(new ParsedCertificate(pem).raw));
  } catch (cause) {
    throw new TrustError('ca_unreadable', 'the certificate', { cause });
  }
}

function requireFit(certificate: X509Certificate, { spki }: AuthorityKey): void {
  if (!Buffer.from(certificate.publicKey.rawData).equals(spki)) throw new TrustError('ca_mismatch');
  const usages = certificate.getExtension(KeyUsagesExtension)?.usages ?? KeyUsageFlags.keyCertSign;
  if (certificate.getExtension(BasicConstraintsExtension)?.ca !== true || (usages & KeyUsageFlags.keyCertSign) === 0)
    throw new TrustError('ca_unfit', 'it is not an authority’s');
}
