import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, lstat, lutimes, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requireTool } from './tools.ts';

const run = promisify(execFile);

export interface Control {
  readonly Package: string;
  readonly Version: string;
  readonly Architecture: string;
  readonly Maintainer: string;
  readonly Section: string;
  readonly Priority: string;
  readonly Depends: string;
  readonly Recommends?: string;
  readonly Description: string;
}

/** What compresses the package: the smallest, or what a test does not wait for. */
export const COMPRESSIONS = {
  small: ['-Zxz', '-z6', '-Sextreme'],
  quick: ['-Zzstd', '-z1'],
} as const;

/**
 * Makes a package of a directory that holds what it installs and, in `DEBIAN`, its maintainer scripts. The same
 * content makes the same bytes: modes, owners, times and order do not come from this machine.
 * @param epoch in seconds: what nothing in it is younger than
 */
export async function buildDeb(
  root: string,
  control: Control,
  {
    to,
    epoch,
    compression,
  }: { readonly to: string; readonly epoch: number; readonly compression: keyof typeof COMPRESSIONS },
): Promise<void> {
  const dpkgDeb = requireTool('dpkg-deb', 'dpkg');
  const files = await normalized(root);
  const bytes = await Promise.all(files.map(async (file) => (await lstat(join(root, file))).size));
  const installed = Math.ceil(bytes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0));
  const fields = Object.entries({ ...control, 'Installed-Size': `${installed}` });
  await writeFile(join(root, 'DEBIAN/control'), fields.map(([name, value]) => `${name}: ${value}\n`).join(''));
  await writeFile(join(root, 'DEBIAN/md5sums'), (await sums(root, files)).join(''));
  // Whatever the clock says now, and in whatever order it was written.
  for (const name of ['', ...(await readdir(root, { recursive: true }))]) await lutimes(join(root, name), epoch, epoch);
  const fixed = ['--root-owner-group', '--threads-max=1', ...COMPRESSIONS[compression], '--build', root, to];
  await run(dpkgDeb, fixed, { env: { ...process.env, SOURCE_DATE_EPOCH: `${epoch}` } });
}

/** Modes as Debian has them, whatever the umask was. @returns the regular files that are installed, in order */
async function normalized(root: string): Promise<string[]> {
  await mkdir(join(root, 'DEBIAN'), { recursive: true });
  const names = (await readdir(root, { recursive: true })).toSorted();
  const files: string[] = [];
  await chmod(root, 0o755);
  for (const name of names) {
    const stats = await lstat(join(root, name));
    if (stats.isSymbolicLink()) continue;
    const isProgram = stats.isDirectory() || ((stats.mode & 0o100) !== 0 && !name.endsWith('.node'));
    await chmod(join(root, name), isProgram ? 0o755 : 0o644);
    if (stats.isFile() && !name.startsWith('DEBIAN/')) files.push(name);
  }
  return files;
}

const sums = (root: string, files: readonly string[]): Promise<string[]> =>
  Promise.all(
    files.map(
      async (file) =>
        `${createHash('md5')
          .update(await readFile(join(root, file)))
          .digest('hex')}  ${file}\n`,
    ),
  );
