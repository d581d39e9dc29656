import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';

const NAMES = /^CN=Amazon Root CA [1-4]$/m;

/** The authorities that the servers of AWS IoT's `iot:Data-ATS` endpoints have theirs from (DER), as Node brings them. */
export const amazonRoots = (): Uint8Array[] =>
  rootCertificates
    .map((pem) => new X509Certificate(pem))
    .filter(({ subject }) => NAMES.test(subject))
    .toSorted((one, other) => one.subject.localeCompare(other.subject))
    .map(({ raw }) => new Uint8Array(raw));
