import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const TIMESTAMP = 'metadata/timestamp.json';
/** Drafts of files that are being written. */
const DRAFT = /\.[0-9a-f]{12}$/;

/**
 * Copies a repository to where a web server serves it, what is there already aside. The timestamp was read first and is
 * written last: whatever it names is there then, also while the service goes on publishing.
 * @param told of each file that is copied
 * @returns how many; null when nothing is published
 */
export async function copyRepository(from: string, to: string, told: (path: string) => void): Promise<number | null> {
  const timestamp = await readFile(join(from, TIMESTAMP)).catch(() => null);
  if (timestamp === null) return null;
  let copied = 0;
  for (const path of await filesIn(from)) {
    if (path === TIMESTAMP || (await isSame(join(from, path), join(to, path)))) continue;
    await place(join(to, path), (draft) => copyFile(join(from, path), draft));
    told(path);
    copied += 1;
  }
  await place(join(to, TIMESTAMP), (draft) => writeFile(draft, timestamp));
  told(TIMESTAMP);
  return copied + 1;
}

async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !DRAFT.test(entry.name));
  return files.map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1)).toSorted();
}

/** Names hold versions and hashes; what has the same name and length and is not small has the same content. */
async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(one), stat(other).catch(() => null)]);
  if (b === null || a.size !== b.size) return false;
  return a.size > SMALL_BYTES || (await readFile(one)).equals(await readFile(other));
}
const SMALL_BYTES = 6_000_000;

async function place(path: string, write: (draft: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await write(draft);
  await using file = await open(draft);
  await file.sync();
  await rename(draft, path);
}
