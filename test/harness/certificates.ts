import '@paddock/cloud/trust/reflection.ts';
import { createHash, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  Extension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type JsonGeneralNames,
  type X509Certificate,
} from '@peculiar/x509';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const DAY_MS = 86_400_000;

/** A certificate of a test with its key. */
export interface TestCertificate {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly der: Uint8Array;
  /** SHA-256 over the DER, base64url. */
  readonly fingerprint: string;
  /** Its own PEM. */
  readonly pem: string;
  readonly keyPem: string;
}

/** Everything about a certificate that a test may want otherwise. */
export interface CertificateWish {
  readonly issuer?: TestCertificate;
  readonly name?: string;
  readonly names?: JsonGeneralNames;
  readonly authority?: boolean;
  /** How many authorities may stand below. */
  readonly pathLength?: number;
  readonly use?: readonly string[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly algorithm?: typeof P256 | typeof RSA_1024;
  /** SubjectPublicKeyInfo of somebody else's key, DER. */
  readonly publicKey?: Uint8Array;
  /** Its key may sign certificates, whether or not it is an authority's. */
  readonly signs?: boolean;
  /** A critical extension that nobody knows. */
  readonly strange?: boolean;
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
export const RSA_1024 = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 1024,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
} as const;

export async function makeCertificate(wish: CertificateWish = {}): Promise<TestCertificate> {
  const {
    issuer,
    name = 'Test',
    authority = false,
    signs = authority,
    algorithm = P256,
    use = authority ? [] : [SERVER_AUTH],
  } = wish;
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const names = wish.names ?? [
    { type: 'ip', value: '127.0.0.1' } as const,
    { type: 'dns', value: 'localhost' } as const,
  ];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: `40${randomBytes(8).toString('hex')}`,
    subject: `CN=${name}`,
    issuer: issuer?.certificate.subject ?? `CN=${name}`,
    notBefore: new Date(wish.notBefore ?? Date.now() - DAY_MS),
    notAfter: new Date(wish.notAfter ?? Date.now() + DAY_MS),
    publicKey: wish.publicKey === undefined ? keys.publicKey : Uint8Array.from(wish.publicKey),
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: issuer === undefined ? algorithm : P256,
    extensions: [
      new BasicConstraintsExtension(authority, wish.pathLength, true),
      new KeyUsagesExtension(signs ? KeyUsageFlags.keyCertSign : KeyUsageFlags.digitalSignature, true),
      ...(use.length > 0 ? [new ExtendedKeyUsageExtension([...use])] : []),
      ...(authority ? [] : [new SubjectAlternativeNameExtension(names)]),
      ...(wish.strange ? [new Extension('1.2.3.4.5', true, new Uint8Array([5, 0]))] : []),
    ],
  });
  const der = new Uint8Array(certificate.rawData);
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificate,
    keys,
    der,
    fingerprint: createHash('sha256').update(der).digest('base64url'),
    pem: `${certificate.toString('pem')}\n`,
    keyPem: createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
      .export({ type: 'pkcs8', format: 'pem' })
      .toString(),
  };
}

export const makeAuthority = (wish: CertificateWish = {}): Promise<TestCertificate> =>
  makeCertificate({ name: 'Test CA', authority: true, notAfter: Date.now() + 20 * 365 * DAY_MS, ...wish });

/** The key (SubjectPublicKeyInfo, DER) that a certificate request (PKCS#10, DER) is for, and signed by. */
export async function requestedKey(csr: Uint8Array): Promise<Uint8Array> {
  const request = new Pkcs10CertificateRequest(Uint8Array.from(csr));
  if (!(await request.verify(webcrypto))) throw new Error('The certificate request is not signed by its key');
  return new Uint8Array(request.publicKey.rawData);
}
