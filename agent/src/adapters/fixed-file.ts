import {
  fdatasync,
  openSync,
  close,
  readSync,
  renameSync,
  fstatSync,
  write,
  writeSync,
  fsyncSync,
  closeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import type { FixedFile } from '../ports-past.ts';

const OWNER_ONLY = 0o600;

export interface OpenedFile {
  readonly file: FixedFile;
  /** What it held; null where there was none, or one of another size. */
  readonly found: Uint8Array | null;
}

/**
 * Opens a file of a fixed size, and makes it where it is missing or of another size: zeros that are on the disk, so
 * that writing into it needs no room later.
 * @throws what the system says when it can be neither opened nor made: no room, a file system to be read only
 */
export function openFixedFile(path: string, size: number): OpenedFile {
  const found = readWhole(path, size);
  if (found === null) make(path, size);
  const fd = openSync(path, 'r+');
  const [writeAsync, syncAsync, closeAsync] = [promisify(write), promisify(fdatasync), promisify(close)];
  const file: FixedFile = {
    async write(at, bytes) {
      await writeAsync(fd, bytes, 0, bytes.length, at);
    },
    writeNow: (at, bytes) => void writeSync(fd, bytes, 0, bytes.length, at),
    sync: () => syncAsync(fd),
    close: () => closeAsync(fd),
  };
  return { file, found };
}

function readWhole(path: string, size: number): Uint8Array | null {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null;
    throw cause;
  }
  try {
    if (!fstatSync(fd).isFile() || fstatSync(fd).size !== size) return null;
    const bytes = new Uint8Array(size);
    return readSync(fd, bytes, 0, size, 0) === size ? bytes : null;
  } finally {
    closeSync(fd);
  }
}

function make(path: string, size: number): void {
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', OWNER_ONLY);
  try {
    writeSync(fd, new Uint8Array(size), 0, size, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}
