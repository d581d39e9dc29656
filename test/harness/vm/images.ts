import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, tool } from './tools.ts';

const BASE_BYTES = 512 * 1_048_576;
const GUEST = join(import.meta.dirname, 'guest');
/** Where our own programs are in the guest. */
const HOME = 'opt/kiosk';

interface Parts {
  /** Directories, as they were made. */
  readonly kernel: string;
  readonly debian: string;
}

/** The text of everything of ours that is in the images. */
export const imageIngredients = async (): Promise<string[]> =>
  Promise.all((await readdir(GUEST)).toSorted().map((name) => readFile(join(GUEST, name), 'utf8')));

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
  const home = join(root, HOME);
  await mkdir(home, { recursive: true });
  for (const script of ['serve.sh', 'bare.sh']) {
    await copyFile(join(GUEST, script), join(home, script));
    await chmod(join(home, script), 0o755);
  }
  await copyFile(join(GUEST, 'kiosk-commands.service'), join(root, 'etc/systemd/system/kiosk-commands.service'));
  await tool('systemctl', ['--root', root, '--quiet', 'enable', 'kiosk-commands.service']);
  await cp(join(kernel, 'modules/lib/modules'), join(root, 'lib/modules'), { recursive: true });
  await writeFile(join(root, 'etc/hostname'), 'kiosk\n');
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
  await chmod(join(boot, 'init'), 0o755);
  await copyFile(join(kernel, 'boot-modules'), join(boot, 'boot-modules'));
  for (const path of (await readFile(join(kernel, 'boot-modules'), 'utf8')).trim().split('\n'))
    await cp(join(kernel, 'modules', path), join(boot, path), { recursive: true });
  await pipeline('find . | cpio --quiet -o -H newc > ../boot.cpio', [], { directory: boot });
  await rm(boot, { recursive: true });
}
