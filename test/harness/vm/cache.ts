import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What no run has used for so long is of a version that nobody tests any more. */
const KEEP_MS = 14 * 86_400_000;
const KEY_CHARS = 12;

/** Outside of the checkout, by the XDG Base Directory Specification, so that a clean checkout finds it again. */
function cacheDirectory({ PADDOCK_VM_CACHE, XDG_CACHE_HOME }: NodeJS.ProcessEnv = process.env): string {
  if (PADDOCK_VM_CACHE !== undefined && PADDOCK_VM_CACHE !== '') return PADDOCK_VM_CACHE;
  const caches = XDG_CACHE_HOME === undefined || XDG_CACHE_HOME === '' ? join(homedir(), '.cache') : XDG_CACHE_HOME;
  return join(caches, 'paddock-vm');
}

/**
 * A directory that is made once for what it is made of. It gets its name when it is complete: one that was interrupted
 * is never taken for a whole one, and of two runs that make the same the first wins.
 * @param ingredients everything that decides what is in it: versions, settings, the text of scripts
 */
export async function cached(
  name: string,
  ingredients: readonly string[],
  make: (directory: string) => Promise<void>,
  home: string = cacheDirectory(),
): Promise<string> {
  const key = createHash('sha256').update(JSON.stringify(ingredients)).digest('hex').slice(0, KEY_CHARS);
  const directory = join(home, `${name}-${key}`);
  if (!existsSync(directory)) await makeWhole(directory, make);
  const now = new Date();
  await utimes(directory, now, now);
  await forgetUnused(home, now.getTime());
  return directory;
}

async function makeWhole(directory: string, make: (directory: string) => Promise<void>): Promise<void> {
  await mkdir(join(directory, '..'), { recursive: true });
  const part = await mkdtemp(`${directory}.part-`);
  try {
    await make(part);
    await rename(part, directory).catch((cause: unknown) => {
      if (!existsSync(directory)) throw cause;
    });
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

/** Parts that were interrupted go too: the time of a directory is that of its making or of its last use. */
async function forgetUnused(home: string, nowMs: number): Promise<void> {
  for (const name of await readdir(home)) {
    const path = join(home, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: nowMs }));
    if (nowMs - mtimeMs > KEEP_MS) await rm(path, { recursive: true, force: true });
  }
}
