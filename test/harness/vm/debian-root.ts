import { join } from 'node:path';
import { tool } from './tools.ts';

const SUITE = 'bookworm';
/** What a kiosk has, and what tests look into it with. */
const PACKAGES = [
  ...'systemd systemd-sysv udev dbus kmod adduser procps iproute2 ca-certificates e2fsprogs gpiod busybox-static'.split(
    ' ',
  ),
  // Of kiosks whose whole root is updated.
  ...'rauc rauc-service polkitd grub-common'.split(' '),
];
/** Nobody reads manuals in there. */
const LEFT_OUT = ['man', 'locale', 'info', 'doc'] as const;

export const debianIngredients = (): string[] => [SUITE, ...PACKAGES, ...LEFT_OUT];

/** Makes `root.tar`: a Debian with systemd, as its installer would leave it. */
export async function makeDebian(directory: string): Promise<void> {
  const options = [
    '--variant=minbase',
    `--include=${PACKAGES.join(',')}`,
    // What is interrupted is made anew.
    '--dpkgopt=force-unsafe-io',
    ...LEFT_OUT.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  ];
  await tool('mmdebstrap', ['--quiet', ...options, SUITE, join(directory, 'root.tar')]);
}
