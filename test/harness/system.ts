import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs of the system that tests start, and the Debian packages that bring them. */
export const PROGRAMS = {
  mosquitto: 'mosquitto',
  mosquitto_pub: 'mosquitto-clients',
  mosquitto_sub: 'mosquitto-clients',
  openssl: 'openssl',
  curl: 'curl',
  'softhsm2-util': 'softhsm2',
  'qemu-storage-daemon': 'qemu-system-common',
  'mkfs.ext4': 'e2fsprogs',
  // Of the agent's package, and of what installs it.
  'dpkg-deb': 'dpkg',
  strip: 'binutils',
  adduser: 'adduser',
  setpriv: 'util-linux',
  'deb-systemd-helper': 'init-system-helpers',
  'systemd-analyze': 'systemd',
  // Another installer, what speaks to it, and what its bundles are made with.
  rauc: 'rauc',
  'dbus-daemon': 'dbus-daemon',
  mksquashfs: 'squashfs-tools',
  // Modules of Debian's Python, which only it looks for.
  securesystemslib: 'python3-securesystemslib',
  cryptography: 'python3-cryptography',
  nacl: 'python3-nacl',
} as const satisfies Record<string, string>;

export type Program = keyof typeof PROGRAMS;

/** Debian keeps daemons where a plain user's PATH does not look, and modules of Python. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/usr/lib/python3/dist-packages'];
const POLICY = '/usr/sbin/policy-rc.d';

/** @returns where the program is, or null. */
export function locate(program: string, path: string = process.env['PATH'] ?? ''): string | null {
  const directories = [...path.split(delimiter), ...SYSTEM_DIRECTORIES];
  return directories.map((directory) => join(directory, program)).find(isExecutable) ?? null;
}

/** @throws when the program is not there, naming its package. */
export function programPath(program: Program): string {
  const found = locate(program);
  if (found === null) throw new Error(missingLine([PROGRAMS[program]]));
  return found;
}

/** The packages whose programs are not there, each once. */
export function missingPackages(
  find: (program: string) => string | null = locate,
  programs: Readonly<Record<string, string>> = PROGRAMS,
): string[] {
  const missing = Object.entries(programs).filter(([program]) => find(program) === null);
  return [...new Set(missing.map(([, debianPackage]) => debianPackage))];
}

export const missingLine = (packages: readonly string[]): string =>
  `These tests need Debian packages that are not installed: ${packages.join(' ')} (apt-get install ${packages.join(' ')})`;

/** Vitest's global setup: what integration tests start is there, or the run ends with one line that says what is missing. */
export function setup(): void {
  if (!existsSync('/dev/ptmx')) throw new Error('These tests need pseudo-terminals: /dev/ptmx is not there');
  provide(PROGRAMS);
}

/**
 * As root on Debian what is missing is installed.
 * @throws a line that names the packages, when programs are missing after that
 */
export function provide(programs: Readonly<Record<string, string>>): void {
  const missing = missingPackages(locate, programs);
  if (missing.length === 0) return;
  if (!mayInstall()) throw new Error(missingLine(missing));
  try {
    install(missing);
  } catch (cause) {
    throw new Error(missingLine(missing), { cause });
  }
  const still = missingPackages(locate, programs);
  if (still.length > 0) throw new Error(missingLine(still));
}

const mayInstall = (): boolean =>
  process.getuid?.() === 0 && existsSync('/etc/debian_version') && locate('apt-get') !== null;

function install(packages: readonly string[]): void {
  withoutStartingServices(() => {
    aptGet(['update']);
    aptGet(['install', '--yes', '--no-install-recommends', ...packages]);
  });
}

function aptGet(args: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['-qq', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Debian starts a daemon when it installs it, and a broker of the system would take the port of ours. */
function withoutStartingServices(work: () => void): void {
  if (existsSync(POLICY)) return work();
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    work();
  } finally {
    rmSync(POLICY);
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
