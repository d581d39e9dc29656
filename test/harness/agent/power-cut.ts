import type { FileCalls, OpenFile } from '@paddock/agent/adapters/disk-calls.ts';

/** A change of the file system, in the order in which the program asked for it. */
type Change =
  | { readonly kind: 'create'; readonly path: string; readonly inode: number }
  | { readonly kind: 'write'; readonly inode: number; readonly bytes: Uint8Array; readonly truncate: boolean }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'sync'; readonly inode: number }
  | { readonly kind: 'sync-directory' };

/** What a fault-finding test leaves out of the program's calls. */
export type Omitted = 'file-sync' | 'directory-sync' | 'rename' | null;

/**
 * A file system that remembers every call. What was not synced before a power cut may be there or not:
 * content by inode, names by directory, each on its own, as POSIX allows.
 */
export class RecordingFiles implements FileCalls {
  readonly changes: Change[] = [];
  readonly #names = new Map<string, number>();
  readonly #contents = new Map<number, Uint8Array>();
  #inodes = 0;
  readonly #omitted: Omitted;

  constructor(omitted: Omitted = null) {
    this.#omitted = omitted;
  }

  async mkdir(): Promise<void> {}

  async open(path: string, flags: 'w' | 'a' | 'r'): Promise<OpenFile> {
    if (flags === 'r') return this.#directory();
    let inode = this.#names.get(path);
    if (inode === undefined) {
      inode = this.#inodes++;
      this.#names.set(path, inode);
      this.#contents.set(inode, new Uint8Array());
      this.changes.push({ kind: 'create', path, inode });
    }
    return this.#file(inode, flags === 'w');
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#names.get(from);
    if (inode === undefined) throw missing();
    if (this.#omitted === 'rename') {
      // What a program without the rename does: it writes into the file itself.
      const target = await this.open(to, 'w');
      await target.write(this.#contents.get(inode) ?? new Uint8Array());
      await target.sync();
      return;
    }
    this.#names.delete(from);
    this.#names.set(to, inode);
    this.changes.push({ kind: 'rename', from, to });
  }

  async unlink(path: string): Promise<void> {
    if (!this.#names.delete(path)) throw missing();
    this.changes.push({ kind: 'unlink', path });
  }

  async readFile(path: string): Promise<Uint8Array> {
    const inode = this.#names.get(path);
    const content = inode === undefined ? undefined : this.#contents.get(inode);
    if (!content) throw missing();
    return content;
  }

  #directory(): OpenFile {
    const sync = async (): Promise<void> => {
      if (this.#omitted !== 'directory-sync') this.changes.push({ kind: 'sync-directory' });
    };
    return { write: async () => {}, sync, datasync: sync, close: async () => {} };
  }

  #file(inode: number, truncate: boolean): OpenFile {
    const sync = async (): Promise<void> => {
      if (this.#omitted !== 'file-sync') this.changes.push({ kind: 'sync', inode });
    };
    const write = async (bytes: Uint8Array): Promise<void> => {
      const before = truncate ? new Uint8Array() : (this.#contents.get(inode) ?? new Uint8Array());
      this.#contents.set(inode, Uint8Array.from([...before, ...bytes]));
      this.changes.push({ kind: 'write', inode, bytes, truncate });
    };
    return { write, sync, datasync: sync, close: async () => {} };
  }
}

/**
 * Every file that can be there after a power cut behind the first `count` changes: the synced part for certain,
 * of the rest nothing, all, or a part of it.
 */
export function afterPowerCut(changes: readonly Change[], count: number): ReadonlyMap<string, Uint8Array>[] {
  const done = changes.slice(0, count);
  const namesFrom = done.findLastIndex(({ kind }) => kind === 'sync-directory') + 1;
  // Changes of names reach the disk in order, content in any order: so a new name may show an empty file.
  const nameStates = Array.from({ length: done.length - namesFrom + 1 }, (_, i) =>
    namesAt(done.slice(0, namesFrom + i)),
  );
  return nameStates.flatMap((names) =>
    CONTENT_LEFT.map((left) => new Map([...names].map(([path, inode]) => [path, contentOf(done, inode, left)]))),
  );
}

/** How much of the content that was not synced has reached the disk. */
const CONTENT_LEFT = ['none', 'half', 'all'] as const;

function namesAt(changes: readonly Change[]): Map<string, number> {
  const names = new Map<string, number>();
  for (const change of changes) {
    if (change.kind === 'create') names.set(change.path, change.inode);
    if (change.kind === 'unlink') names.delete(change.path);
    if (change.kind !== 'rename') continue;
    const inode = names.get(change.from);
    names.delete(change.from);
    if (inode !== undefined) names.set(change.to, inode);
  }
  return names;
}

function contentOf(changes: readonly Change[], inode: number, left: (typeof CONTENT_LEFT)[number]): Uint8Array {
  const syncedBefore = changes.findLastIndex((change) => change.kind === 'sync' && change.inode === inode);
  return changes.reduce<Uint8Array>((content, change, index) => {
    if (change.kind !== 'write' || change.inode !== inode) return content;
    const before = change.truncate ? new Uint8Array() : content;
    const isSure = index < syncedBefore || left === 'all';
    if (!isSure && left === 'none') return before;
    return Uint8Array.from([...before, ...(isSure ? change.bytes : change.bytes.slice(0, change.bytes.length / 2))]);
  }, new Uint8Array());
}

const missing = (): Error => Object.assign(new Error('no such file'), { code: 'ENOENT' });
