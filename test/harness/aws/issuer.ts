import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The authority of the make-believe AWS: openssl, so that its certificates are nobody's of ours. */
export interface Issuer {
  readonly key: string;
  readonly certificate: string;
}

let issuer: Issuer | undefined;

function inDirectory<T>(work: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'paddock-aws-'));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const openssl = (cwd: string, ...args: string[]): string =>
  execFileSync('openssl', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** One for all tests of a file. */
export function newIssuer(): Issuer {
  issuer ??= inDirectory((directory) => {
    const key = openssl(directory, 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
    writeFileSync(join(directory, 'ca.key'), key);
    const subject = '/O=Amazon.com Inc./CN=Make-believe IoT';
    const certificate = openssl(directory, 'req', '-x509', '-new', '-key', 'ca.key', '-subj', subject, '-days', '3650');
    return { key, certificate };
  });
  return issuer;
}

/** Good until 2049, as AWS IoT's; the subject is the request's. @returns PEM, or null when the request is no good */
export function certifyRequest({ key, certificate }: Issuer, csr: string): string | null {
  return inDirectory((directory) => {
    writeFileSync(join(directory, 'ca.key'), key);
    writeFileSync(join(directory, 'ca.pem'), certificate);
    writeFileSync(join(directory, 'csr.pem'), csr);
    try {
      openssl(directory, 'req', '-in', 'csr.pem', '-verify', '-noout');
      const days = String(Math.floor((Date.UTC(2049, 11, 31) - Date.now()) / 86_400_000));
      return openssl(directory, 'x509', '-req', '-in', 'csr.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', days);
    } catch {
      return null;
    }
  });
}
