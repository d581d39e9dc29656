import { dirname, join } from 'node:path';
import type { Disk } from '../ports.ts';
import { nodeFileCalls, type FileCalls, type OpenFile } from './disk-calls.ts';

const OWNER_ONLY_DIR = 0o700;
const OWNER_ONLY_FILE = 0o600;
/** Whoever configures a file may call it anything that stays in its directory. */
const FILE_NAME = /^(?!\.{1,2}$)[^/\0]{1,200}$/;

/**
 * The Disk port on a directory, which is made where it is missing. One operation at a time, in the order of
 * the calls, so that two of them never meet in one temporary file.
 */
export async function openDisk(dir: string, calls: FileCalls = nodeFileCalls): Promise<Disk> {
  await calls.mkdir(dir, OWNER_ONLY_DIR);
  await syncDirectory(calls, dirname(dir));
  const reader = diskReader(dir, calls);
  const inOrder = serializer();
  // Names whose directory entry is known to be durable: appending to them needs no fsync of the directory.
  const entries = new Set<string>();
  return {
    read: (name, most) => inOrder(() => reader.read(name, most)),
    replace: (name, bytes) =>
      inOrder(async () => {
        await replace(calls, dir, pathOf(dir, name), bytes);
        entries.add(name);
      }),
    append: (name, bytes) =>
      inOrder(async () => {
        await writeAll(calls, pathOf(dir, name), 'a', bytes);
        if (entries.has(name)) return;
        await syncDirectory(calls, dir);
        entries.add(name);
      }),
    remove: (name) =>
      inOrder(async () => {
        entries.delete(name);
        await calls.unlink(pathOf(dir, name)).catch(ignoreMissing);
        await syncDirectory(calls, dir);
      }),
  };
}

/** Only looks, and makes nothing: for programs beside the agent. */
export const diskReader = (dir: string, calls: FileCalls = nodeFileCalls): Pick<Disk, 'read'> => ({
  read: async (name, most) => readIfThere(calls, pathOf(dir, name), most),
});

/**
 * The content is on the disk before the name points to it, and the name before the promise resolves:
 * so a power cut leaves the old file or the new one.
 */
async function replace(calls: FileCalls, dir: string, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await writeAll(calls, temporary, 'w', bytes);
  } catch (cause) {
    // On a full disk the half of a file would be in everybody's way.
    await calls.unlink(temporary).catch(() => {});
    throw cause;
  }
  await calls.rename(temporary, path);
  await syncDirectory(calls, dir);
}

async function writeAll(calls: FileCalls, path: string, flags: 'w' | 'a', bytes: Uint8Array): Promise<void> {
  await withFile(await calls.open(path, flags, OWNER_ONLY_FILE), async (file) => {
    await file.write(bytes);
    await (flags === 'a' ? file.datasync() : file.sync());
  });
}

async function syncDirectory(calls: FileCalls, dir: string): Promise<void> {
  await withFile(await calls.open(dir, 'r', 0), (file) => file.sync());
}

async function withFile(file: OpenFile, work: (file: OpenFile) => Promise<void>): Promise<void> {
  try {
    await work(file);
  } finally {
    await file.close();
  }
}

const readIfThere = (calls: FileCalls, path: string, most?: number): Promise<Uint8Array | null> =>
  calls.readFile(path, most).catch((cause: unknown) => (isMissing(cause) ? null : Promise.reject(cause as Error)));

function pathOf(dir: string, name: string): string {
  if (!FILE_NAME.test(name)) throw new Error(`"${name}" is not a file name`);
  return join(dir, name);
}

function serializer(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}

const isMissing = (cause: unknown): boolean => cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';

function ignoreMissing(cause: unknown): void {
  if (!isMissing(cause)) throw cause;
}
