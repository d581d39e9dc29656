import type { Disk } from '@paddock/agent/ports.ts';
import type { TreeFiles } from './tree-files.ts';
import type { Around } from './update-device.ts';

/** What has to be there after a power cut at one moment. */
export interface Expected {
  /** By path, what the file holds, one of these; null is no file. */
  readonly files: ReadonlyMap<string, readonly (Uint8Array | null)[]>;
  /** Parts of a download: the file begins with this. */
  readonly parts: ReadonlyMap<string, Uint8Array>;
  /** The counter of the newest desired release that was applied. */
  readonly applied: number;
}

const RECORDS = ['boot.json', 'launcher.json', 'a/.paddock/manifest.json', 'b/.paddock/manifest.json'] as const;
/** Which of them a piece of work may change while it lasts. */
const CHANGES: Readonly<Record<string, readonly string[]>> = {
  stage: ['boot.json', 'a/.paddock/manifest.json', 'b/.paddock/manifest.json'],
  activate: ['boot.json'],
  markGood: ['boot.json'],
  rollBack: ['boot.json'],
  launch: ['launcher.json'],
};
const OBJECT = /^[0-9a-f]{64}$/;

/**
 * Keeps account of what the ports have promised: what was asked for and is done is there after a power cut, what is on
 * its way is there as it was or as it will be.
 */
export class Promised {
  readonly #files: TreeFiles;
  readonly #state: string;
  readonly #kept = new Map<string, readonly (Uint8Array | null)[]>();
  readonly #parts = new Map<string, Uint8Array>();
  #applied = 0;

  constructor(files: TreeFiles, state: string) {
    this.#files = files;
    this.#state = state;
    const kept = files.look(state) === null ? [] : files.list(state).filter((name) => !name.endsWith('.tmp'));
    for (const name of kept) this.#kept.set(`${state}/${name}`, [files.bytes(`${state}/${name}`)]);
  }

  expected(): Expected {
    return { files: new Map(this.#kept), parts: new Map(this.#parts), applied: this.#applied };
  }

  applied(value: unknown): void {
    if (typeof value === 'object' && value !== null && 'counter' in value) this.#applied = Number(value.counter);
  }

  /** The agent's own disk. */
  disk(disk: Disk): Disk {
    const write = async (name: string, after: Uint8Array | null, work: Promise<void>): Promise<void> => {
      const path = `${this.#state}/${name}`;
      this.#kept.set(path, [...(this.#kept.get(path) ?? [null]), after]);
      await work;
      this.#kept.set(path, [after]);
    };
    return {
      ...disk,
      replace: (name, bytes) => write(name, bytes, disk.replace(name, bytes)),
      remove: (name) => write(name, null, disk.remove(name)),
    };
  }

  /** Installer and launcher. */
  readonly around: Around = (name, given, work) => {
    for (const path of CHANGES[name] ?? []) this.#kept.delete(path);
    if (name === 'keepOnly') this.#forget((sha256) => !(given[0] as ReadonlySet<string>).has(sha256));
    if (name === 'dropPart') this.#forget((sha256, isPart) => isPart && sha256 === given[0]);
    const result = work();
    for (const path of RECORDS) if (this.#files.look(path) !== null) this.#kept.set(path, [this.#files.bytes(path)]);
    for (const file of this.#files.look('objects') === null ? [] : this.#files.list('objects')) {
      const path = `objects/${file}`;
      const bytes = this.#files.bytes(path);
      if (OBJECT.test(file)) this.#kept.set(path, [bytes]);
      else if (bytes !== null && file.endsWith('.part')) this.#parts.set(path, bytes);
    }
    return result;
  };

  #forget(which: (sha256: string, isPart: boolean) => boolean): void {
    for (const path of [...this.#kept.keys(), ...this.#parts.keys()]) {
      const [, sha256 = '', isPart] = /^objects\/([0-9a-f]{64})([.]part)?$/.exec(path) ?? [];
      if (sha256 === '' || !which(sha256, isPart !== undefined)) continue;
      this.#kept.delete(path);
      this.#parts.delete(path);
    }
  }
}
