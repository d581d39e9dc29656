import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { RepositoryFiles, SentFile } from '../ports-firmware.ts';

const PIECE_BYTES = 65_536;

/** The operator's repository below one directory. Its files are for everybody: a web server of another user may serve them. */
export function repositoryFiles(directory: string): RepositoryFiles {
  const placeOf = (path: string): string => join(directory, path);
  return {
    async open(path) {
      try {
        const handle = await open(placeOf(path), constants.O_RDONLY | constants.O_NOFOLLOW);
        return await sent(handle);
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    has: (path) =>
      access(placeOf(path)).then(
        () => true,
        () => false,
      ),
    put: (path, content) => putWhole(placeOf(path), content),
    list: (path) => entriesIn(placeOf(path)),
    remove: (path) => rm(placeOf(path), { recursive: true, force: true }),
  };
}

async function entriesIn(directory: string): Promise<{ readonly name: string; readonly at: WallMs }[]> {
  const found = [];
  for (const name of await readdir(directory).catch(() => [])) {
    // Another instance may be at it, too.
    const look = await stat(join(directory, name)).catch(() => null);
    if (look !== null) found.push({ name, at: wallMs(look.mtimeMs) });
  }
  return found;
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(String(error.code));

async function sent(handle: FileHandle): Promise<SentFile | null> {
  const look = await handle.stat();
  if (!look.isFile()) {
    await handle.close();
    return null;
  }
  return {
    bytes: look.size,
    modified: look.mtime.toUTCString(),
    tag: tagOf(look),
    close: () => handle.close(),
    read(from, bytes) {
      if (bytes === 0) {
        void handle.close();
        return new Blob([]).stream();
      }
      const stream = handle.createReadStream({ start: from, end: from + bytes - 1, highWaterMark: PIECE_BYTES });
      return Readable.toWeb(stream) as ReadableStream<Uint8Array>;
    },
  };
}

/** A file is only ever replaced whole, so it is another one when this is another. */
const tagOf = ({ size, mtimeMs, ino }: Stats): string =>
  `${size.toString(36)}-${Math.round(mtimeMs * 1000).toString(36)}-${ino.toString(36)}`;

async function putWhole(path: string, content: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
  await makeDirectory(dirname(path));
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await using file = await open(draft, 'wx', 0o644);
    if (content instanceof Uint8Array) await file.writeFile(content);
    else for await (const piece of content) await file.writeFile(piece);
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** A directory that is new is there after a power cut only when the one above it was synced. */
async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o755 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}
