import { provide } from '../system.ts';
import { CAN_BOOT } from './needs-machine.ts';
import { prepareKiosk } from './prepare.ts';

/** What runs the virtual kiosk and makes its parts, and the Debian packages that bring it. */
const PROGRAMS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'mkfs.ext4': 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
  gcc: 'gcc',
  make: 'make',
  cpio: 'cpio',
  depmod: 'kmod',
  xz: 'xz-utils',
  // Of a kiosk whose whole root is updated.
  'grub-mkimage': 'grub-pc-bin',
  'grub-editenv': 'grub-common',
  sfdisk: 'fdisk',
  mksquashfs: 'squashfs-tools',
  rauc: 'rauc',
  openssl: 'openssl',
} as const;

/** Vitest's global setup: everything that a virtual kiosk boots from is there before the first test. */
export async function setup(): Promise<void> {
  if (!CAN_BOOT) return;
  provide(PROGRAMS);
  await prepareKiosk();
}
