import { copyFile, cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pipeline, tool } from './tools.ts';

const BASE_BYTES = 512 * 1_048_576;
const GUEST = join(import.meta.dirname, 'guest');
/** Nobody logs in, and what upkeep a kiosk has in a test is the test's. */
const UNUSED = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'getty.target',
  'console-getty.service',
  'systemd-logind.service',
  'systemd-user-sessions.service',
  'systemd-update-utmp.service',
  'systemd-update-utmp-runlevel.service',
  // Nobody looks into them, and each costs a start of a program.
  'dev-hugepages.mount',
  'dev-mqueue.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'systemd-network-generator.service',
  'modprobe@dm_mod.service',
  'modprobe@efi_pstore.service',
  'modprobe@fuse.service',
  'modprobe@loop.service',
  'sys-fs-fuse-connections.mount',
  'proc-sys-fs-binfmt_misc.automount',
  'systemd-random-seed.service',
  'systemd-remount-fs.service',
  'systemd-sysusers.service',
  'systemd-sysctl.service',
  'systemd-tmpfiles-clean.timer',
];

interface Parts {
  /** Directories, as they were made. */
  readonly kernel: string;
  readonly debian: string;
}

/** What is left out of the images, and the text of everything of ours that is in them. */
export async function imageIngredients(): Promise<string[]> {
  const entries = await readdir(GUEST, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const texts = files.toSorted().map(async (file) => `${relative(GUEST, file)}\n${await readFile(file, 'utf8')}`);
  return [...UNUSED, ...(await Promise.all(texts))];
}

/** Makes `base.img`, the root that all kiosks share, and `boot.cpio`, which joins it with the kiosk's own disk. */
export async function makeImages({ kernel, debian }: Parts, directory: string): Promise<void> {
  const root = join(directory, 'root');
  await mkdir(root);
  await tool('tar', ['-xf', join(debian, 'root.tar'), '-C', root]);
  await furnish(root, kernel);
  await makeBase(root, join(directory, 'base.img'));
  await makeBoot(root, kernel, directory);
  await rm(root, { recursive: true });
}

/** What makes a Debian a kiosk of these tests. */
async function furnish(root: string, kernel: string): Promise<void> {
  await cp(join(GUEST, 'root'), root, { recursive: true });
  await cp(join(kernel, 'modules/lib/modules'), join(root, 'lib/modules'), { recursive: true });
  await tool('chroot', [root, 'systemctl', '--quiet', 'enable', 'kiosk-commands.service', 'kiosk-network.service']);
  await tool('chroot', [root, 'systemctl', '--quiet', 'mask', ...UNUSED]);
  // Disks are where fstab says, and it says nothing: boot.cpio puts the root together.
  await writeFile(join(root, 'etc/fstab'), '');
}

async function makeBase(root: string, image: string): Promise<void> {
  await writeFile(image, '');
  await truncate(image, BASE_BYTES);
  // It is only ever read, so it needs no journal.
  await tool('mkfs.ext4', ['-q', '-O', '^has_journal', '-m', '0', '-d', root, image]);
}

async function makeBoot(root: string, kernel: string, directory: string): Promise<void> {
  const boot = join(directory, 'boot');
  await mkdir(join(boot, 'bin'), { recursive: true });
  await copyFile(join(root, 'bin/busybox'), join(boot, 'bin/busybox'));
  await copyFile(join(GUEST, 'init.sh'), join(boot, 'init'));
  await copyFile(join(kernel, 'boot-modules'), join(boot, 'boot-modules'));
  for (const path of (await readFile(join(kernel, 'boot-modules'), 'utf8')).trim().split('\n'))
    await cp(join(kernel, 'modules', path), join(boot, path), { recursive: true });
  await pipeline('find . | cpio --quiet -o -H newc > ../boot.cpio', [], { directory: boot });
  await rm(boot, { recursive: true });
}
