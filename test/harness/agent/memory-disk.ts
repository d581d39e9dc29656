import type { Disk } from '@paddock/agent/ports.ts';

/** The Disk port in memory. Faults: the next operations fail, and an append may leave a part of its bytes. */
export class MemoryDisk implements Disk {
  readonly files = new Map<string, Uint8Array>();
  readonly writes: { operation: 'replace' | 'append' | 'remove'; path: string; bytes: number }[] = [];
  #failures = 0;
  #tornBytes = 0;
  #hang: Promise<void> | null = null;
  /** Writes that hang. */
  hanging = 0;

  /** The next operations that write reject; an append leaves `tornBytes` of its content behind. */
  failNext(count: number, tornBytes = 0): void {
    this.#failures = count;
    this.#tornBytes = tornBytes;
  }

  /** Writes do not end until what this returns is called. */
  hang(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hang = promise;
    return () => {
      this.#hang = null;
      resolve();
    };
  }

  async #wait(): Promise<void> {
    this.hanging += 1;
    await this.#hang;
    this.hanging -= 1;
  }

  /** What another process would find after a crash. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk();
    for (const [path, bytes] of this.files) copy.files.set(path, bytes.slice());
    return copy;
  }

  async read(path: string): Promise<Uint8Array | null> {
    return this.files.get(path)?.slice() ?? null;
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    await this.#wait();
    this.#begin('replace', path, bytes.length);
    this.files.set(path, bytes.slice());
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    await this.#wait();
    const before = this.files.get(path) ?? new Uint8Array();
    try {
      this.#begin('append', path, bytes.length);
    } catch (cause) {
      this.files.set(path, joined(before, bytes.slice(0, this.#tornBytes)));
      throw cause;
    }
    this.files.set(path, joined(before, bytes));
  }

  async remove(path: string): Promise<void> {
    this.#begin('remove', path, 0);
    this.files.delete(path);
  }

  #begin(operation: 'replace' | 'append' | 'remove', path: string, bytes: number): void {
    if (this.#failures > 0) {
      this.#failures -= 1;
      throw Object.assign(new Error('No space left on device'), { code: 'ENOSPC' });
    }
    this.writes.push({ operation, path, bytes });
  }
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => Uint8Array.from([...a, ...b]);
