import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Not ours to keep: the cluster is copied as tables, its password belongs to one cluster, the demonstration is no data. */
const LEFT_OUT = /^(postgres(\..*)?|postgres-password|demo|\.restoring|\.replaced-.*)$/;
/** Drafts of files that are being written. */
const DRAFT = /\.([0-9a-f]{12}|part)$/;
const PIECE_BYTES = 256 * 1024;

/** What a data directory keeps beside the database: paths relative to it, with `/`. Links to files are followed. */
export async function listDataFiles(dataDir: string, below = ''): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await namesIn(join(dataDir, below))).toSorted()) {
    if (DRAFT.test(name) || (below === '' && LEFT_OUT.test(name))) continue;
    const path = below === '' ? name : `${below}/${name}`;
    const what = await stat(join(dataDir, path));
    if (what.isDirectory()) found.push(...(await listDataFiles(dataDir, path)));
    if (what.isFile()) found.push(path);
  }
  return found;
}

/** Everything in a directory but what a restore puts there itself. */
export const entriesOf = async (dataDir: string): Promise<string[]> =>
  (await namesIn(dataDir)).filter((name) => !/^\.(restoring|replaced-.*)$/.test(name));

/** A directory that is not there is empty. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Makes a data directory and one in it. As root the database's user has to pass through it; the service closes it to
 * everybody else when it starts.
 */
export async function makeDirectories(dataDir: string, inner: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  await mkdir(inner, { mode: 0o700 });
}

export const readPieces = (path: string): AsyncIterable<Uint8Array> =>
  createReadStream(path, { highWaterMark: PIECE_BYTES });

/**
 * Writes a file for its owner only. It appears whole and synced, or not at all.
 * @param replace otherwise an error with the code EEXIST when it is there
 */
export async function writeWhole(path: string, pieces: AsyncIterable<Uint8Array>, replace: boolean): Promise<number> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Holds the name: nobody else writes there meanwhile.
  if (!replace) await (await open(path, 'wx', 0o600)).close();
  const draft = `${path}.part`;
  let bytes = 0;
  try {
    await using file = await open(draft, 'w', 0o600);
    for await (const piece of pieces) {
      await file.writeFile(piece);
      bytes += piece.byteLength;
    }
    await file.sync();
  } catch (error) {
    await rm(draft, { force: true });
    if (!replace) await rm(path, { force: true });
    throw error;
  }
  await rename(draft, path);
  await syncDirectory(dirname(path));
  return bytes;
}

export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}
