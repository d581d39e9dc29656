import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where files are memory, if there is such a place. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A kiosk's memory: what is in it outlives a restart, and no power cut. It is gone with this process, however that ends. */
export class Memory {
  readonly #fd: number;

  constructor() {
    const directory = mkdtempSync(join(PLACE, 'paddock-vm-'));
    this.#fd = openSync(join(directory, 'memory'), 'w+');
    rmSync(directory, { recursive: true });
  }

  /** For QEMU, which makes it as large as it has to be. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`;
  }

  clear(): void {
    ftruncateSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
