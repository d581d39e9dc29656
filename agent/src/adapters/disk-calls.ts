import { mkdir, open, readFile, rename, unlink } from 'node:fs/promises';

/** The calls of the file system whose order decides what a power cut leaves. Absolute paths. */
export interface FileCalls {
  mkdir(path: string, mode: number): Promise<void>;
  open(path: string, flags: 'w' | 'a' | 'r', mode: number): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Its first `most` bytes; absent means all. */
  readFile(path: string, most?: number): Promise<Uint8Array>;
}

export interface OpenFile {
  /** Writes all of the bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** fsync(2): content and metadata; of a directory: its entries. */
  sync(): Promise<void>;
  /** fdatasync(2): content, and the size that is needed to read it. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export const nodeFileCalls: FileCalls = {
  mkdir: async (path, mode) => void (await mkdir(path, { recursive: true, mode })),
  async open(path, flags, mode) {
    const file = await open(path, flags, mode);
    return {
      write: (bytes) => file.writeFile(bytes),
      sync: () => file.sync(),
      datasync: () => file.datasync(),
      close: () => file.close(),
    };
  },
  rename,
  unlink,
  readFile: (path, most) => (most === undefined ? readFile(path) : readFirst(path, most)),
};

/** Whatever the size of the file is: what a stranger left there must not fill the memory. */
async function readFirst(path: string, most: number): Promise<Uint8Array> {
  await using file = await open(path, 'r');
  const bytes = new Uint8Array(Math.min(most, (await file.stat()).size));
  for (let at = 0; at < bytes.length;) {
    const { bytesRead } = await file.read(bytes, at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}
