import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TokenSettings } from '@paddock/agent/adapters/pkcs11.ts';
import { programPath } from '../system.ts';

/** Where Debian's softhsm2 puts its library: by architecture first, then the place of older releases. */
const LIBRARIES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
];

/** Tokens of SoftHSM2 in a directory of their own. The process that uses them needs `environment`. */
export interface SoftHsm {
  readonly module: string;
  readonly home: string;
  readonly environment: { readonly SOFTHSM2_CONF: string };
  /** Makes a token, and writes its PIN to a file. @returns the settings that lead to a key on it */
  token(label: string, key?: Partial<TokenSettings>): TokenSettings;
  /** Brings a private key in that was made elsewhere (PKCS#8 PEM). */
  importKey(token: string, label: string, id: string, pem: string): void;
  /** Destroys a token with all that is on it. */
  wipe(token: string): void;
  /** Pulls every token out, and puts them in again. */
  pull(): void;
  insert(): void;
  remove(): void;
}

export const PIN = '731-4402-secret';

/** @throws when the library or the addon is not there, with what to install */
export function makeSoftHsm(): SoftHsm {
  needAddon();
  const util = programPath('softhsm2-util');
  const module = LIBRARIES.find((path) => existsSync(path));
  if (module === undefined) throw new Error(`These tests need libsofthsm2.so in one of ${LIBRARIES.join(', ')}`);
  const home = mkdtempSync(join(tmpdir(), 'paddock-softhsm-'));
  const [tokens, pulled] = [join(home, 'tokens'), join(home, 'pulled')];
  mkdirSync(tokens);
  const environment = { SOFTHSM2_CONF: join(home, 'softhsm2.conf') };
  writeFileSync(environment.SOFTHSM2_CONF, `directories.tokendir = ${tokens}\nlog.level = ERROR\n`);
  const run = (...args: string[]): void =>
    void execFileSync(util, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'ignore', 'pipe'] });
  return {
    module,
    home,
    environment,
    token(label, key = {}) {
      run('--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin', '5678-officer');
      const pinFile = join(home, `${label}.pin`);
      writeFileSync(pinFile, `${PIN}\n`, { mode: 0o600 });
      return {
        module,
        token: label,
        pinFile,
        kind: 'P-256',
        ...(key.id === undefined && { label: 'identity' }),
        ...key,
      };
    },
    importKey(token, label, id, pem) {
      const file = join(home, 'import.pem');
      writeFileSync(file, pem, { mode: 0o600 });
      run('--import', file, '--token', token, '--label', label, '--id', id, '--pin', PIN);
      rmSync(file);
    },
    wipe: (token) => run('--delete-token', '--token', token),
    pull: () => renameSync(tokens, pulled),
    insert: () => renameSync(pulled, tokens),
    remove: () => rmSync(home, { recursive: true, force: true }),
  };
}

/** It is optional in an installation, and not in a test. */
function needAddon(): void {
  try {
    createRequire(import.meta.url)('pkcs11js');
  } catch (cause) {
    const advice = 'apt-get install g++ make python3, then npm ci (docs/operations.md, "A key on a token")';
    throw new Error(`These tests need the native addon pkcs11js, which was not built: ${advice}`, { cause });
  }
}
