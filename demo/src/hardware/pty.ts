import { closeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import koffi, { type LibraryHandle } from 'koffi';

/** The far end of a pseudo-terminal: what a device on a serial line would be. */
export interface PtyMaster {
  /** Calls back with what was written to the port; one listener or several. */
  onData(listener: (chunk: Uint8Array) => void): void;
  /** Resolves when the kernel has taken every byte: it keeps 4 KiB that nobody reads, then makes us wait. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** Bytes that the kernel has not taken yet. */
  waiting(): number;
  /** Pulls the plug: whoever has the port open is hung up on. */
  close(): void;
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

/**
 * Opens a pseudo-terminal in raw mode (openpty(3), cfmakeraw(3)), so that bytes arrive as they were sent.
 * We keep the near end open too: a master whose other end was never opened, or was closed, reads only errors.
 */
export function openPty(): Pty {
  const libc = koffi.load('libc.so.6');
  const openpty = libc.func('int openpty(_Out_ int *master, _Out_ int *slave, void *name, void *termios, void *size)');
  const [master, slave]: [number[], number[]] = [[0], [0]];
  const name = Buffer.alloc(PATH_BYTES);
  if (openpty(master, slave, name, null, null) !== 0) throw new Error('openpty failed: is /dev/pts mounted?');
  const [masterFd = -1] = master;
  const [slaveFd = -1] = slave;
  makeRaw(libc, slaveFd);
  return { master: masterOf(masterFd, slaveFd), path: name.toString('utf8', 0, name.indexOf(0)) };
}

function makeRaw(libc: LibraryHandle, fd: number): void {
  const termios = Buffer.alloc(TERMIOS_BYTES);
  if (libc.func('int tcgetattr(int fd, void *termios)')(fd, termios) !== 0) throw new Error('tcgetattr failed');
  libc.func('void cfmakeraw(void *termios)')(termios);
  if (libc.func('int tcsetattr(int fd, int when, void *termios)')(fd, TCSANOW, termios) !== 0) {
    throw new Error('tcsetattr failed');
  }
}

function masterOf(masterFd: number, slaveFd: number): PtyMaster {
  // A tty stream waits in the event loop; a file stream would hold a thread of the pool for every port.
  const stream = new ReadStream(masterFd);
  stream.on('error', () => stream.destroy());
  stream.resume();
  return {
    onData: (listener) => void stream.on('data', listener),
    write: (bytes) =>
      new Promise((resolve, reject) => stream.write(bytes, (error) => (error ? reject(error) : resolve()))),
    waiting: () => stream.writableLength,
    close: () => {
      if (stream.destroyed) return;
      stream.destroy();
      closeSync(slaveFd);
    },
  };
}
