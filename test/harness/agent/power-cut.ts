import { dirname } from 'node:path';
import type { FileCalls, OpenFile } from '@paddock/agent/adapters/disk-calls.ts';

/** A change of the file system, in the order in which the program asked for it. */
type Change =
  | { readonly kind: 'mkdir' | 'unlink'; readonly path: string }
  | { readonly kind: 'create'; readonly path: string; readonly inode: number }
  | { readonly kind: 'write'; readonly inode: number; readonly bytes: Uint8Array; readonly at: number }
  | { readonly kind: 'truncate'; readonly inode: number }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string; readonly inode: number }
  | { readonly kind: 'sync'; readonly inode: number }
  | { readonly kind: 'sync-directory'; readonly path: string };
type NameChange = Extract<Change, { kind: 'mkdir' | 'unlink' | 'create' | 'rename' }>;

/** The calls that a power cut makes necessary, by what each of them makes durable. */
export const SAFEGUARDS = [
  'sync of what was appended',
  'sync of what replaces',
  'rename over the old file',
  'sync of the name of a new file',
  'sync of the name that was replaced',
  'sync of the name that was removed',
  'sync of the name of the directory',
] as const;
export type Safeguard = (typeof SAFEGUARDS)[number];

const NAME_SYNCS = {
  create: 'sync of the name of a new file',
  rename: 'sync of the name that was replaced',
  unlink: 'sync of the name that was removed',
  mkdir: 'sync of the name of the directory',
} as const satisfies Record<string, Safeguard>;

/**
 * A file system that remembers every call. What was not synced before a power cut may be there or not: content by
 * write, names by directory, each on its own, as POSIX allows. One safeguard may be left out, to see it missed.
 */
export class RecordingFiles implements FileCalls {
  readonly changes: Change[] = [];
  readonly #names = new Map<string, number>();
  readonly #contents = new Map<number, Uint8Array>();
  readonly #omitted: Safeguard | null;
  #inodes = 0;

  constructor(omitted: Safeguard | null = null) {
    this.#omitted = omitted;
  }

  async mkdir(path: string): Promise<void> {
    if (this.changes.some((change) => change.kind === 'mkdir' && change.path === path)) return;
    this.changes.push({ kind: 'mkdir', path });
  }

  async open(path: string, flags: 'w' | 'a' | 'r'): Promise<OpenFile> {
    if (flags === 'r') return this.#directory(path);
    let inode = this.#names.get(path);
    if (inode === undefined) {
      inode = this.#inodes++;
      this.#names.set(path, inode);
      this.#contents.set(inode, new Uint8Array());
      this.changes.push({ kind: 'create', path, inode });
    }
    if (flags === 'w') {
      this.#contents.set(inode, new Uint8Array());
      this.changes.push({ kind: 'truncate', inode });
    }
    return this.#file(inode, flags === 'w' ? 'sync of what replaces' : 'sync of what was appended');
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#names.get(from);
    if (inode === undefined) throw missing();
    if (this.#omitted === 'rename over the old file') {
      // What a program without the rename does: it writes into the file itself.
      const target = await this.open(to, 'w');
      await target.write(this.#contents.get(inode) ?? new Uint8Array());
      await target.sync();
      return;
    }
    this.#names.delete(from);
    this.#names.set(to, inode);
    this.changes.push({ kind: 'rename', from, to, inode });
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

  #directory(path: string): OpenFile {
    const sync = async (): Promise<void> => {
      const last = pendingNames(this.changes).findLast((change) => directoryOf(change) === path);
      if (last === undefined || this.#omitted !== NAME_SYNCS[last.kind])
        this.changes.push({ kind: 'sync-directory', path });
    };
    return { write: async () => {}, sync, datasync: sync, close: async () => {} };
  }

  #file(inode: number, safeguard: Safeguard): OpenFile {
    const sync = async (): Promise<void> => {
      if (this.#omitted !== safeguard) this.changes.push({ kind: 'sync', inode });
    };
    const write = async (bytes: Uint8Array): Promise<void> => {
      const before = this.#contents.get(inode) ?? new Uint8Array();
      this.#contents.set(inode, Uint8Array.from([...before, ...bytes]));
      this.changes.push({ kind: 'write', inode, bytes, at: before.length });
    };
    return { write, sync, datasync: sync, close: async () => {} };
  }
}

/** Beyond so many unsynced effects not every subset of them is tried: the older ones all happen or none does. */
const MOST_NAMES = 5;
const MOST_WRITES = 3;

/**
 * Every set of files that can be there after a power cut behind the first `count` changes: what was synced for
 * certain, and of the rest every subset; of each write nothing, a part, all, or zeros in its place.
 */
export function* afterPowerCut(changes: readonly Change[], count: number): Generator<ReadonlyMap<string, Uint8Array>> {
  const done = changes.slice(0, count);
  const names = pendingNames(done);
  const sure = done.filter((change): change is NameChange => isNameChange(change) && !names.includes(change));
  const writes = pendingWrites(done);
  for (const happened of subsetsOf(names)) {
    const present = namesAfter([...sure, ...happened]);
    for (const left of contentsOf(writes))
      yield new Map([...present].map(([path, inode]) => [path, contentAfter(done, inode, left)]));
  }
}

const isNameChange = (change: Change): change is NameChange =>
  change.kind === 'mkdir' || change.kind === 'unlink' || change.kind === 'create' || change.kind === 'rename';
const directoryOf = (change: NameChange): string => dirname(change.kind === 'rename' ? change.to : change.path);

/** Changes of names that no sync of their directory has made durable. */
function pendingNames(changes: readonly Change[]): NameChange[] {
  return changes.filter((change, index): change is NameChange => {
    if (!isNameChange(change)) return false;
    const directory = directoryOf(change);
    return !changes.slice(index).some((later) => later.kind === 'sync-directory' && later.path === directory);
  });
}

type Write = Extract<Change, { kind: 'write' }>;
type Left = 'none' | 'part' | 'all' | 'zeros';

const pendingWrites = (changes: readonly Change[]): Write[] =>
  changes.filter((change, index): change is Write => {
    if (change.kind !== 'write') return false;
    return !changes.slice(index).some((later) => later.kind === 'sync' && later.inode === change.inode);
  });

function* subsetsOf(names: readonly NameChange[]): Generator<readonly NameChange[]> {
  const older = names.slice(0, -MOST_NAMES);
  const newer = names.slice(-MOST_NAMES);
  for (let bits = 0; bits < 2 ** newer.length; bits += 1) yield [...older, ...newer.filter((_, n) => bits & (1 << n))];
  if (older.length > 0) yield [];
}

function* contentsOf(writes: readonly Write[]): Generator<ReadonlyMap<Write, Left>> {
  const older = writes.slice(0, -MOST_WRITES);
  const newer = writes.slice(-MOST_WRITES);
  const ways = ['none', 'part', 'all', 'zeros'] as const satisfies readonly Left[];
  for (let drawn = 0; drawn < ways.length ** newer.length; drawn += 1) {
    const of = (n: number): Left => ways[Math.floor(drawn / ways.length ** n) % ways.length] ?? 'none';
    yield new Map([
      ...older.map((write) => [write, 'all'] as const),
      ...newer.map((write, n) => [write, of(n)] as const),
    ]);
  }
}

function namesAfter(changes: readonly NameChange[]): Map<string, number> {
  const names = new Map<string, number>();
  const directories = new Set<string>();
  for (const change of changes) {
    if (change.kind === 'mkdir') directories.add(change.path);
    if (change.kind === 'create') names.set(change.path, change.inode);
    if (change.kind === 'unlink') names.delete(change.path);
    if (change.kind !== 'rename') continue;
    names.delete(change.from);
    names.set(change.to, change.inode);
  }
  return new Map([...names].filter(([path]) => directories.has(dirname(path))));
}

/** A later write that is there without an earlier one leaves a hole of zeros. */
function contentAfter(changes: readonly Change[], inode: number, left: ReadonlyMap<Write, Left>): Uint8Array {
  let content = new Uint8Array();
  for (const change of changes) {
    if (change.kind === 'truncate' && change.inode === inode) content = new Uint8Array();
    if (change.kind !== 'write' || change.inode !== inode) continue;
    const way = left.get(change) ?? 'all';
    if (way === 'none') continue;
    const bytes = way === 'part' ? change.bytes.slice(0, change.bytes.length / 2) : change.bytes;
    const longer = new Uint8Array(Math.max(content.length, change.at + bytes.length));
    longer.set(content);
    if (way !== 'zeros') longer.set(bytes, change.at);
    content = longer;
  }
  return content;
}

const missing = (): Error => Object.assign(new Error('no such file'), { code: 'ENOENT' });
