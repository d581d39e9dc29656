import { copyFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KioskParts } from './prepare.ts';
import { kernelWords } from './qemu.ts';
import { pipeline, tool } from './tools.ts';

const MIB = 1_048_576;
const GRUB = '/usr/lib/grub/i386-pc';
/** All that grub.cfg needs: nothing is loaded later. */
const MODULES = 'biosdisk part_msdos ext2 normal configfile linux loadenv test serial terminal boot'.split(' ');
const LAYOUT = {
  boot: { startMiB: 1, sizeMiB: 63 },
  a: { startMiB: 64, sizeMiB: 96 },
  b: { startMiB: 160, sizeMiB: 96 },
};
/** What the boot record has of the partition table begins here. */
const CODE_BYTES = 440;
const SECTOR = 512;

interface BootDiskParts extends Pick<KioskParts, 'packedKernel' | 'ramDisk'> {
  /** The text of `grub.cfg`. */
  readonly grub: string;
  /** What lies in slot A when the kiosk leaves the factory: a file. */
  readonly factory: string;
}

/** Makes the disk of a kiosk that a boot loader starts: GRUB and its partition, and two slots. @returns the image */
export async function makeBootDisk(folder: string, parts: BootDiskParts): Promise<string> {
  const image = join(folder, 'boot.img');
  await writeFile(image, '');
  await truncate(image, (LAYOUT.b.startMiB + LAYOUT.b.sizeMiB) * MIB);
  const partitions = Object.values(LAYOUT).map(({ startMiB, sizeMiB }) => `start=${startMiB}MiB, size=${sizeMiB}MiB`);
  await pipeline('echo "$2" | sfdisk --quiet "$1"', [image, ['label: dos', ...partitions].join('\n')]);
  await makeBootPartition(folder, image, parts);
  await install(folder, image);
  await write(parts.factory, image, LAYOUT.a.startMiB * MIB);
  return image;
}

async function makeBootPartition(folder: string, image: string, parts: BootDiskParts): Promise<void> {
  const files = join(folder, 'boot');
  await mkdir(join(files, 'grub'), { recursive: true });
  await copyFile(parts.packedKernel, join(files, 'vmlinuz'));
  await copyFile(parts.ramDisk, join(files, 'initrd.img'));
  await writeFile(join(files, 'grub/grub.cfg'), `serial\nterminal_output serial\n${parts.grub}`);
  await writeFile(join(files, 'grub/words.cfg'), `set words='${kernelWords('/sbin/init')}'\n`);
  const environment = join(files, 'grub/grubenv');
  await tool('grub-editenv', [environment, 'create']);
  await tool('grub-editenv', [environment, 'set', 'ORDER=A B', 'A_OK=1', 'A_TRY=0', 'B_OK=0', 'B_TRY=0']);
  const { startMiB, sizeMiB } = LAYOUT.boot;
  await tool('mkfs.ext4', ['-q', '-d', files, '-E', `offset=${startMiB * MIB}`, image, `${sizeMiB}M`]);
  await rm(files, { recursive: true });
}

/** Puts GRUB in front of the first partition. */
async function install(folder: string, image: string): Promise<void> {
  const core = join(folder, 'core.img');
  await tool('grub-mkimage', ['-O', 'i386-pc', '-p', '(hd0,msdos1)/grub', '-o', core, ...MODULES]);
  const record = await readFile(join(GRUB, 'boot.img'));
  const first = join(folder, 'first.img');
  await writeFile(first, record.subarray(0, CODE_BYTES));
  await write(first, image, 0);
  // Where the boot record looks for the rest unless it is told otherwise.
  await write(core, image, SECTOR);
}

const write = async (file: string, image: string, offset: number): Promise<string> =>
  tool('dd', [
    `if=${file}`,
    `of=${image}`,
    'bs=1M',
    `seek=${offset}`,
    'oflag=seek_bytes',
    'conv=notrunc',
    'status=none',
  ]);
