import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs';
import koffi from 'koffi';
import type { OpenTreeFile, TreeCalls, TreeEntry } from '../ports-firmware.ts';

const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const PERMISSIONS = 0o7777;
/** No link is followed, and nobody is waited for at the other end of a pipe. */
const READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
/** posix_fadvise(2) */
const POSIX_FADV_WILLNEED = 3;
const POSIX_FADV_DONTNEED = 4;

/** The calls of the file system below a directory that is there. */
export function createTreeCalls(root: string): TreeCalls {
  // The paths are clean: what `join` would make of them costs as much as the call itself.
  const at = (path: string): string => `${root}/${path}`;
  const libc = koffi.load(null);
  const syncfs = libc.func('int syncfs(int)');
  const fadvise = libc.func('int posix_fadvise(int, int64_t, int64_t, int)');
  return {
    look: (path) => {
      const stats = lstatSync(at(path), { throwIfNoEntry: false });
      return stats ? entryOf(stats) : null;
    },
    list: (directory) => readdirSync(at(directory)),
    readLink: (path) => readlinkSync(at(path)),
    create(path, mode) {
      // The umask would take from it.
      return openedWith(openNew(at(path), mode), mode);
    },
    append(path, mode) {
      const fd = openSync(at(path), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, mode);
      return openedWith(fd, mode);
    },
    open: (path) => new TreeFile(openSync(at(path), READ)),
    openFresh(path) {
      const fd = openSync(at(path), READ);
      // Advice only: what the system keeps in memory all the same is read from there.
      fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
      return new TreeFile(fd);
    },
    setMode: (path, mode) => chmodSync(at(path), mode),
    makeDirectory: (path) => mkdirSync(at(path), 0o755),
    makeLink: (target, path) => symlinkSync(target, at(path)),
    rename: (from, to) => renameSync(at(from), at(to)),
    remove: (path) => unlinkSync(at(path)),
    removeDirectory: (path) => rmdirSync(at(path)),
    syncDirectory: (path) => onDirectory(at(path), fsyncSync),
    syncAll: () =>
      onDirectory(root, (fd) => {
        if (syncfs(fd) !== 0) throw systemError('syncfs', koffi.errno());
      }),
    freeBytes: () => {
      const { bavail, bsize } = statfsSync(root);
      return bavail * bsize;
    },
  };
}

/** O_EXCL follows no link. */
function openNew(path: string, mode: number): number {
  const open = (): number => openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode);
  try {
    return open();
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
  }
  unlinkSync(path);
  return open();
}

function entryOf(stats: Stats): TreeEntry {
  const kinds = [
    ['file', stats.isFile()],
    ['directory', stats.isDirectory()],
    ['link', stats.isSymbolicLink()],
  ] as const;
  const kind = kinds.find(([, is]) => is)?.[0] ?? 'other';
  return { kind, size: stats.size, mode: stats.mode & PERMISSIONS, links: stats.nlink };
}

function openedWith(fd: number, mode: number): OpenTreeFile {
  try {
    fchmodSync(fd, mode);
  } catch (cause) {
    closeSync(fd);
    throw cause;
  }
  return new TreeFile(fd);
}

class TreeFile implements OpenTreeFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(into: Uint8Array): number {
    return readSync(this.#fd, into);
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }

  sync(): void {
    fsyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function onDirectory(path: string, work: (fd: number) => void): void {
  const fd = openSync(path, O_RDONLY | O_DIRECTORY);
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}

/** As Node words what the system said. */
const systemError = (syscall: string, errno: number): Error => {
  const code = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall, errno: -errno });
};
