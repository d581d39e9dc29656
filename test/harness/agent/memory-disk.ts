import type { Disk } from '@paddock/agent/ports.ts';

/** The Disk port in memory. Faults: the next operations fail, and an append may leave a part of its bytes. */
export class MemoryDisk implements Disk {
  readonly files = new Map<string, Uint8Array>();
  readonly writes: { operation: 'replace' | 'append' | 'remove'; path: string; bytes: number }[] = [];
  #failures = 0;
  #tornBytes = 0;
  #failing: string | null = null;
  #hang: { readonly over: Promise<void>; readonly path: string | null } | null = null;
  /** Writes that hang. */
  hanging = 0;

  /** The next operations that write reject, of one file or of all; an append leaves `tornBytes` of its content behind. */
  failNext(count: number, tornBytes = 0, path: string | null = null): void {
    this.#failures = count;
    this.#tornBytes = tornBytes;
    this.#failing = path;
  }

  /** Writes to one file, or to all, do not end until what this returns is called. */
  hang(path: string | null = null): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hang = { over: promise, path };
    return () => {
      this.#hang = null;
      resolve();
    };
  }

  async #wait(path: string): Promise<void> {
    const hang = this.#hang;
    if (hang === null || (hang.path ?? path) !== path) return;
    this.hanging += 1;
    await hang.over;
    this.hanging -= 1;
  }

  /** What another process would find after a crash. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk();
    for (const [path, bytes] of this.files) copy.files.set(path, bytes.slice());
    return copy;
  }

  async read(path: string, most?: number): Promise<Uint8Array | null> {
    return this.files.get(path)?.slice(0, most) ?? null;
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    await this.#wait(path);
    this.#begin('replace', path, bytes.length);
    this.files.set(path, bytes.slice());
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    await this.#wait(path);
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
    if (this.#failures > 0 && (this.#failing ?? path) === path) {
      this.#failures -= 1;
      throw Object.assign(new Error('No space left on device'), { code: 'ENOSPC' });
    }
    this.writes.push({ operation, path, bytes });
  }
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => Buffer.concat([a, b]);
