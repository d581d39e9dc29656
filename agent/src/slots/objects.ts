import { InstallError, type OpenTreeFile, type TreeCalls } from '../ports-firmware.ts';
import { clearDirectory, removeWhole } from './clear.ts';
import { OBJECTS_DIRECTORY, objectPath } from './object-path.ts';

const MODE = 0o644;
const SHA256 = /^[0-9a-f]{64}$/;

/** Written, and not known to be durable. */
const newPath = (sha256: string): string => `${objectPath(sha256)}.new`;
/** What came so far of one that is on its way, as it was encoded. */
const partPath = (sha256: string): string => `${objectPath(sha256)}.part`;

/** So much may be lost by a power cut, and is fetched again: one sync for many small objects. */
const SETTLE_BYTES = 1_048_576;

/**
 * The objects of a download, in files that are called by their hash. A file has its name only once its content is on
 * the disk: whatever has it is whole, as far as a power cut goes.
 */
export class Objects {
  readonly #calls: TreeCalls;
  /** Sizes of those that wait to be synced, together. */
  readonly #new = new Map<string, number>();
  #newBytes = 0;
  readonly #streams = new Map<string, OpenTreeFile>();

  constructor(calls: TreeCalls) {
    this.#calls = calls;
    if (calls.look(OBJECTS_DIRECTORY)?.kind !== 'directory') {
      clearDirectory(calls, OBJECTS_DIRECTORY);
      calls.syncDirectory('.');
    }
    for (const name of calls.list(OBJECTS_DIRECTORY))
      if (name.endsWith('.new')) removeWhole(calls, `${OBJECTS_DIRECTORY}/${name}`);
  }

  list(): Map<string, number> {
    const sizes = new Map(this.#new);
    for (const name of this.#calls.list(OBJECTS_DIRECTORY)) {
      const entry = SHA256.test(name) ? this.#calls.look(objectPath(name)) : null;
      if (entry?.kind === 'file') sizes.set(name, entry.size);
      // In the way of what comes.
      else if (entry !== null) removeWhole(this.#calls, objectPath(name));
    }
    return sizes;
  }

  put(sha256: string, content: Uint8Array): void {
    const file = this.#calls.create(newPath(sha256), MODE);
    try {
      file.write(content);
    } catch (cause) {
      this.#removeIfPossible(newPath(sha256));
      throw cause;
    } finally {
      file.close();
    }
    this.#new.set(sha256, content.length);
    this.#newBytes += content.length;
    if (this.#newBytes >= SETTLE_BYTES) this.settle();
  }

  /** Makes durable what was put. When it fails none of that is there any more: it is fetched again. */
  settle(): void {
    if (this.#new.size === 0) return;
    const names = [...this.#new.keys()];
    this.#new.clear();
    this.#newBytes = 0;
    try {
      this.#calls.syncAll();
      for (const sha256 of names) this.#calls.rename(newPath(sha256), objectPath(sha256));
      this.#calls.syncDirectory(OBJECTS_DIRECTORY);
    } catch (cause) {
      for (const sha256 of names) this.#removeIfPossible(newPath(sha256));
      throw cause;
    }
  }

  partBytes(sha256: string): number {
    const entry = this.#calls.look(partPath(sha256));
    return entry?.kind === 'file' ? entry.size : 0;
  }

  /** When it fails a part of it may be there: `partBytes` says. */
  appendPart(sha256: string, bytes: Uint8Array): void {
    const isFirst = this.#calls.look(partPath(sha256)) === null;
    const file = this.#calls.append(partPath(sha256), MODE);
    try {
      file.write(bytes);
      file.sync();
    } finally {
      file.close();
    }
    if (isFirst) this.#calls.syncDirectory(OBJECTS_DIRECTORY);
  }

  /** @returns null when there is none */
  openPart(sha256: string): OpenTreeFile | null {
    return this.#calls.look(partPath(sha256)) === null ? null : this.#calls.open(partPath(sha256));
  }

  dropPart(sha256: string): void {
    this.#remove(partPath(sha256));
  }

  beginStream(sha256: string): void {
    this.abandonStream(sha256);
    this.#new.delete(sha256);
    this.#streams.set(sha256, this.#calls.create(newPath(sha256), MODE));
  }

  writeStream(sha256: string, bytes: Uint8Array): void {
    this.#stream(sha256).write(bytes);
  }

  endStream(sha256: string): void {
    const file = this.#stream(sha256);
    this.#streams.delete(sha256);
    try {
      file.sync();
    } finally {
      file.close();
    }
    this.#calls.rename(newPath(sha256), objectPath(sha256));
    this.#calls.syncDirectory(OBJECTS_DIRECTORY);
  }

  abandonStream(sha256: string): void {
    const file = this.#streams.get(sha256);
    if (file === undefined) return;
    this.#streams.delete(sha256);
    file.close();
    this.#remove(newPath(sha256));
  }

  #stream(sha256: string): OpenTreeFile {
    const file = this.#streams.get(sha256);
    if (file === undefined) throw new InstallError('install_interrupted', `nothing is written of ${sha256}`);
    return file;
  }

  keepOnly(sha256s: ReadonlySet<string>): void {
    for (const name of this.#calls.list(OBJECTS_DIRECTORY)) {
      const [sha256 = ''] = name.split('.');
      if (sha256s.has(sha256)) continue;
      this.#new.delete(sha256);
      this.#remove(`${OBJECTS_DIRECTORY}/${name}`);
    }
  }

  /** On a full disk the half of a file would be in everybody's way. */
  #removeIfPossible(path: string): void {
    try {
      this.#remove(path);
    } catch {
      // What is left goes when the objects are next opened.
    }
  }

  #remove(path: string): void {
    removeWhole(this.#calls, path);
  }
}
