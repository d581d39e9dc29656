import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import koffi, { type LibraryHandle } from 'koffi';

/** The far end of a pseudo-terminal: what a device on a serial line would be. */
export interface PtyMaster {
  /** Calls back with what was written to the port; one listener or several. */
  onData(listener: (chunk: Uint8Array) => void): void;
  /** Resolves when the kernel has taken every byte: it keeps 4 KiB that nobody reads, then makes us wait. */
  readonly write: (bytes: Uint8Array | string) => Promise<void>;
  /** Bytes that the kernel has not taken yet. */
  readonly waiting: () => number;
  /** Pulls the plug: whoever has the port open is hung up on. */
  readonly close: () => void;
}

export interface Pty {
  readonly master: PtyMaster;
  /** What a program opens as its serial port. */
  readonly path: string;
}

/** Larger than any libc's struct termios (60 bytes with glibc), which is only carried, never read. */
const TERMIOS_BYTES = 256;
const PATH_BYTES = 128;
const TCSANOW = 0;
/** Linux, fcntl.h; Node does not name it. */
const O_CLOEXEC = 0o2000000;
/** Not for programs that are started later: who keeps a master open keeps its device plugged in. */
const MASTER_FLAGS = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK | O_CLOEXEC;
/** How soon to offer bytes again that the kernel had no room for. */
const RETRY_MS = 2;

/**
 * Opens a pseudo-terminal in raw mode (posix_openpt(3), cfmakeraw(3)), so that bytes arrive as they were sent.
 * We keep the near end open too: a master whose other end was never opened, or was closed, reads only errors.
 */
export function openPty(): Pty {
  const libc = koffi.load('libc.so.6');
  const masterFd = checked('posix_openpt', libc.func('int posix_openpt(int flags)')(MASTER_FLAGS));
  const name = Buffer.alloc(PATH_BYTES);
  checked('grantpt', libc.func('int grantpt(int fd)')(masterFd));
  checked('unlockpt', libc.func('int unlockpt(int fd)')(masterFd));
  if (Number(libc.func('int ptsname_r(int fd, void *name, size_t size)')(masterFd, name, PATH_BYTES)) !== 0)
    throw new Error('ptsname_r failed');
  const path = name.toString('utf8', 0, name.indexOf(0));
  const slaveFd = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  makeRaw(libc, slaveFd);
  return { master: masterOf(masterFd, slaveFd), path };
}

function checked(name: string, answered: unknown): number {
  const result = Number(answered);
  if (result < 0) throw new Error(`${name} failed: is /dev/pts mounted?`);
  return result;
}

function makeRaw(libc: LibraryHandle, fd: number): void {
  const termios = Buffer.alloc(TERMIOS_BYTES);
  checked('tcgetattr', libc.func('int tcgetattr(int fd, void *termios)')(fd, termios));
  libc.func('void cfmakeraw(void *termios)')(termios);
  checked('tcsetattr', libc.func('int tcsetattr(int fd, int when, void *termios)')(fd, TCSANOW, termios));
}

function masterOf(masterFd: number, slaveFd: number): PtyMaster {
  // A tty stream waits in the event loop; a file stream would hold a thread of the pool for every port.
  const reader = new ReadStream(masterFd);
  const writer = createWriter(masterFd);
  reader.on('error', () => reader.destroy());
  reader.resume();
  return {
    onData: (listener) => void reader.on('data', listener),
    write: writer.write,
    waiting: writer.waiting,
    close: () => {
      if (reader.destroyed) return;
      writer.close();
      reader.destroy();
      closeSync(slaveFd);
    },
  };
}

interface Waiting {
  rest: Uint8Array;
  readonly done: (error?: Error) => void;
}

/** Writes without waiting: the tty stream would stop the whole program until somebody reads the other end. */
function createWriter(fd: number): Pick<PtyMaster, 'write' | 'waiting' | 'close'> {
  const queue: Waiting[] = [];
  let retry: NodeJS.Timeout | undefined;
  let isClosed = false;

  const end = (error?: Error): void => queue.shift()?.done(error);
  const pump = (): void => {
    retry = undefined;
    for (let next = queue[0]; next; next = queue[0]) {
      try {
        next.rest = next.rest.subarray(writeSync(fd, next.rest));
        if (next.rest.length === 0) end();
      } catch (cause) {
        const error = cause instanceof Error ? cause : new Error(String(cause));
        if (!('code' in error) || error.code !== 'EAGAIN') return end(error);
        retry = setTimeout(pump, RETRY_MS);
        return;
      }
    }
  };
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        if (isClosed) return reject(new Error('the pseudo-terminal is closed'));
        queue.push({ rest: Buffer.from(bytes), done: (error) => (error ? reject(error) : resolve()) });
        if (retry === undefined) pump();
      }),
    waiting: () => queue.reduce((sum, { rest }) => sum + rest.length, 0),
    close: () => {
      isClosed = true;
      clearTimeout(retry);
      while (queue.length > 0) end(new Error('the pseudo-terminal is closed'));
    },
  };
}
