import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unflushed, writesOf } from '../block-log.ts';
import { tool } from './tools.ts';

const MIB = 1_048_576;

/** Of the writes that the disk had not been told to flush, in their order, those that are there after a cut. */
export type Survives = (write: number) => boolean;

/**
 * A kiosk's own disk, with a log of what was written since the power came on: QEMU hands every write to this machine at
 * once, where nothing gets lost when QEMU is killed. A real disk keeps what was flushed, and of the rest what it likes.
 */
export class Disk {
  readonly #image: string;
  readonly #before: string;
  readonly #log: string;

  private constructor(home: string) {
    this.#image = join(home, 'disk.img');
    this.#before = join(home, 'disk.before');
    this.#log = join(home, 'disk.log');
  }

  static async make(home: string, sizeMiB: number): Promise<Disk> {
    const disk = new Disk(home);
    await writeFile(disk.#image, '');
    await truncate(disk.#image, sizeMiB * MIB);
    // The last part belongs to no file system: /dev/vdb can be written there directly.
    await tool('mkfs.ext4', ['-q', disk.#image, `${sizeMiB - 1}M`]);
    return disk;
  }

  /** For QEMU, as the block device `disk`. */
  get blockDevices(): readonly string[] {
    return [
      `driver=file,node-name=image,filename=${this.#image}`,
      `driver=file,node-name=log,filename=${this.#log}`,
      'driver=blklogwrites,node-name=disk,file=image,log=log,log-sector-size=512',
    ];
  }

  async powerOn(): Promise<void> {
    await tool('cp', ['--sparse=always', '--reflink=auto', this.#image, this.#before]);
    await writeFile(this.#log, '');
  }

  /** The machine is off: leaves on the disk what it would have kept. */
  async cut(survives: Survives): Promise<void> {
    const writes = [...writesOf(readFileSync(this.#log))];
    const lost = new Set(unflushed(writes, writes.length).filter((_, at) => !survives(at)));
    if (lost.size === 0) return;
    const file = openSync(this.#before, 'r+');
    try {
      for (const [at, { offset, bytes }] of writes.entries())
        if (!lost.has(at)) writeSync(file, bytes, 0, bytes.length, offset);
    } finally {
      closeSync(file);
    }
    await rename(this.#before, this.#image);
  }
}
