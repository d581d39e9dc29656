import '@paddock/cloud/trust/reflection.ts';
import { generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequest, X509CertificateGenerator } from '@peculiar/x509';

/** The authority of the make-believe AWS, which is nobody's of ours. */
export interface Issuer {
  readonly signingKey: Promise<webcrypto.CryptoKey>;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export function newIssuer(): Issuer {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  return { signingKey: webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']) };
}

/** Good until 2049, as AWS IoT's; the subject is the request's. @returns PEM, or null when the request is no good */
export async function certifyRequest({ signingKey }: Issuer, csr: string): Promise<string | null> {
  const request = new Pkcs10CertificateRequest(csr);
  if (!(await request.verify())) return null;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    issuer: 'O=Amazon.com Inc., CN=Make-believe IoT',
    subject: request.subject,
    notBefore: new Date(Date.now() - 120_000),
    notAfter: new Date(Date.UTC(2049, 11, 31, 23, 59, 59)),
    publicKey: request.publicKey,
    signingKey: await signingKey,
    signingAlgorithm: ALGORITHM,
  });
  return certificate.toString('pem');
}
