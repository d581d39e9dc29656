import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs openssl, which knows nothing of our code, in a directory of its own with these files. @returns what it printed */
export function openssl(args: string, files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  return inDirectory(files, (directory) => run(directory, args));
}

/** As `openssl`, for what it writes to the file `out`. */
function opensslFile(args: string, files: Readonly<Record<string, string | Uint8Array>> = {}): Buffer {
  return inDirectory(files, (directory) => {
    run(directory, args);
    return readFileSync(join(directory, 'out'));
  });
}

const run = (cwd: string, args: string): string =>
  execFileSync('openssl', args.split(' '), { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function inDirectory<T>(files: Readonly<Record<string, string | Uint8Array>>, work: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'paddock-openssl-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Kinds of keys as `openssl genpkey` names them. */
export const KEYS = {
  p256: '-algorithm EC -pkeyopt ec_paramgen_curve:P-256',
  p256explicit: '-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit',
  p384: '-algorithm EC -pkeyopt ec_paramgen_curve:P-384',
  ed25519: '-algorithm ED25519',
  rsa1024: '-algorithm RSA -pkeyopt rsa_keygen_bits:1024',
  rsa2048: '-algorithm RSA -pkeyopt rsa_keygen_bits:2048',
} as const;

/** A new private key in PEM. */
export const newKey = (kind: keyof typeof KEYS = 'p256'): string => openssl(`genpkey ${KEYS[kind]}`);

/** A certificate request of that key in DER. */
export const requestOf = (key: string, subject = '/CN=whatever', more = ''): Uint8Array =>
  opensslFile(`req -new -key key.pem -subj ${subject} -outform DER -out out${more}`, { 'key.pem': key });
