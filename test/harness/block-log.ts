import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { programPath } from './system.ts';

const IMAGE_BYTES = 8_388_608;
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

/** A write to a block device, or a flush. */
export interface BlockWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly isFlush: boolean;
}

/** An ext4 file system in a file; small, so that a copy costs nothing. */
export function makeImage(path: string): void {
  writeFileSync(path, '');
  truncateSync(path, IMAGE_BYTES);
  const eager = 'lazy_itable_init=0,lazy_journal_init=0';
  run(programPath('mkfs.ext4'), '-q', '-b', '1024', '-J', 'size=1', '-E', eager, path);
}

/** Mounts a file as the disk that it is, for as long as the work takes. */
export async function mounted<T>(image: string, work: (directory: string) => T | Promise<T>): Promise<T> {
  const directory = `${image}.mounted`;
  mkdirSync(directory, { recursive: true });
  run('mount', '-o', 'loop', image, directory);
  try {
    return await work(directory);
  } finally {
    run('umount', directory);
  }
}

/** A disk that keeps a log of every write: QEMU's storage daemon between the file system and the image. */
export class LoggedDisk {
  readonly #home: string;
  #daemon: ChildProcess | null = null;

  /** @param home a directory of its own */
  constructor(home: string) {
    this.#home = home;
  }

  /** @returns every write to a copy of the image while the work was done */
  async record(image: string, work: (directory: string) => Promise<void>): Promise<readonly BlockWrite[]> {
    const [disk, log, exported] = ['disk.img', 'log.img', 'exported.img'].map((name) => join(this.#home, name));
    if (!disk || !log || !exported) throw new Error('No names');
    copyFileSync(image, disk);
    for (const path of [log, exported]) writeFileSync(path, '');
    await this.#start(disk, log, exported);
    try {
      await mounted(exported, work);
    } finally {
      await this.#stop();
    }
    return [...writesOf(readFileSync(log))];
  }

  /** How many writes there were so far. */
  get position(): number {
    return [...writesOf(readFileSync(join(this.#home, 'log.img')))].length;
  }

  async #start(disk: string, log: string, exported: string): Promise<void> {
    const file = (name: string, path: string): string[] => [
      '--blockdev',
      `driver=file,node-name=${name},filename=${path}`,
    ];
    const daemon = spawn(
      programPath('qemu-storage-daemon'),
      [
        ...file('data', disk),
        ...file('log', log),
        '--blockdev',
        'driver=blklogwrites,node-name=logged,file=data,log=log,log-sector-size=512',
        '--export',
        `type=fuse,id=exported,node-name=logged,mountpoint=${exported},writable=on`,
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    this.#daemon = daemon;
    const start = performance.now();
    while (statSync(exported).size !== IMAGE_BYTES) {
      if (daemon.exitCode !== null || performance.now() - start > 20_000)
        throw new Error('The logged disk is not there');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #stop(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === null) return;
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    if (daemon.exitCode === null) await ended;
  }
}

/** The form of dm-log-writes: a sector with the head, then for each write a sector about it and what was written. */
const SECTOR = 512;
const FLUSH = 1n;
const FUA = 2n;
const DISCARD = 4n;

export function* writesOf(log: Buffer): Generator<BlockWrite> {
  for (let at = SECTOR; at + SECTOR <= log.length;) {
    const [sector, sectors, flags] = [0, 8, 16].map((field) => log.readBigUInt64LE(at + field));
    if (sector === undefined || sectors === undefined || flags === undefined) return;
    if (sectors === 0n && flags === 0n) return;
    at += SECTOR;
    const length = (flags & DISCARD) === 0n ? Number(sectors) * SECTOR : 0;
    if (length > 0) yield { offset: Number(sector) * SECTOR, bytes: log.subarray(at, at + length), isFlush: false };
    if ((flags & (FLUSH | FUA)) !== 0n) yield { offset: 0, bytes: log.subarray(at, at), isFlush: true };
    at += length;
  }
}

/** What a power cut after so many writes leaves of a disk. @param lost one that had not been flushed, and is not there */
export function cutImage(image: string, writes: readonly BlockWrite[], { after, lost }: Cut, to: string): void {
  if (existsSync(to)) truncateSync(to, 0);
  copyFileSync(image, to);
  const file = openSync(to, 'r+');
  try {
    for (const [at, { offset, bytes }] of writes.slice(0, after).entries())
      if (at !== lost) writeSync(file, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(file);
  }
}

export interface Cut {
  readonly after: number;
  readonly lost: number | null;
}

/** Writes that a cut may lose: those since the last flush. */
export function unflushed(writes: readonly BlockWrite[], after: number): readonly number[] {
  const flushed = writes.slice(0, after).findLastIndex(({ isFlush }) => isFlush);
  return Array.from({ length: after - flushed - 1 }, (_, at) => flushed + 1 + at);
}
