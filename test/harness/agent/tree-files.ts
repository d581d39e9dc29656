import type { OpenTreeFile, TreeCalls, TreeEntry } from '@paddock/agent/ports-firmware.ts';

type Inode =
  | { readonly kind: 'file'; content: Uint8Array; mode: number }
  | { readonly kind: 'directory'; readonly names: Map<string, number>; mode: number }
  | { readonly kind: 'link'; readonly target: string };

/** One effect on the disk: the content of a file, or the names of directories. A rename is one, as journals have it. */
export type Effect =
  | {
      readonly kind: 'content';
      readonly inode: number;
      readonly content: Uint8Array;
      /** So much of its beginning was durable before, and no cut takes that. */
      readonly sure: number;
      readonly call: string;
    }
  | {
      readonly kind: 'names';
      readonly changes: readonly { readonly directory: number; readonly name: string; readonly inode: number | null }[];
      readonly call: string;
    };

/** The calls that a power cut makes necessary. Each may be left out, to see it missed. */
export const SAFEGUARDS = ['fsync', 'fsync of a directory', 'syncfs', 'rename'] as const;
export type Safeguard = (typeof SAFEGUARDS)[number];

const systemError = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: ${path}`), { code, syscall: 'test', path });

/**
 * A file system in memory that knows of every effect whether it would survive a power cut. Content is durable by fsync
 * of the file, names by fsync of their directory, everything by syncfs; nothing else promises anything, as POSIX has it.
 */
export class TreeFiles implements TreeCalls {
  readonly inodes = new Map<number, Inode>();
  /** What is not durable yet, oldest first. */
  #pending: Effect[] = [];
  /** What is. */
  #durable: Effect[] = [];
  #next = 1;
  #calls = 0;
  #omitted: ReadonlySet<string>;
  /** Throws before the call of that number: the power is cut, or the disk fails. */
  #failAt = Number.POSITIVE_INFINITY;
  #failure: () => Error = () => new PowerCut();

  constructor() {
    this.#omitted = new Set();
    this.inodes.set(0, { kind: 'directory', names: new Map(), mode: 0o755 });
  }

  /** From now on these safeguards do nothing: of a kind, or of a kind at one place, as `fsync boot.json.tmp`. */
  omitting(omitted: readonly string[]): this {
    this.#omitted = new Set(omitted);
    return this;
  }

  get calls(): number {
    return this.#calls;
  }

  /** What each call that makes something durable was made for, in order. */
  readonly safeguards: string[] = [];

  /** Hears of every effect, and of all that becomes durable: between two of these a power cut leaves the same. */
  changed: () => void = () => {};

  failAt(call: number, failure: () => Error = () => new PowerCut()): void {
    this.#failAt = call;
    this.#failure = failure;
  }

  #call(): void {
    this.#calls += 1;
    if (this.#calls > this.#failAt) {
      // A disk that failed once works again; the power is cut for good.
      const failure = this.#failure();
      if (!(failure instanceof PowerCut)) this.#failAt = Number.POSITIVE_INFINITY;
      throw failure;
    }
  }

  /** @param settles what it makes durable: of one that makes nothing durable nobody could miss it */
  #safeguard(kind: Safeguard, path: string, settles?: (effect: Effect) => boolean): boolean {
    const last = settles && this.#pending.findLast(settles);
    const name = `${kind} ${path}`.trim();
    const exact = `${name}${last ? ` behind ${last.call}` : ''}`.replaceAll(/[0-9a-f]{64}/g, '*');
    if (last !== undefined || settles === undefined) this.safeguards.push(exact);
    return ![kind, name, exact].some((each) => this.#omitted.has(each));
  }

  #find(path: string): number | null {
    let at = 0;
    for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
      const inode = this.inodes.get(at);
      if (inode?.kind !== 'directory') return null;
      const next = inode.names.get(name);
      if (next === undefined) return null;
      at = next;
    }
    return at;
  }

  #parent(path: string): { directory: number; names: Map<string, number>; name: string } {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const name = parts.pop() ?? '';
    const directory = this.#find(parts.join('/'));
    const inode = directory === null ? undefined : this.inodes.get(directory);
    if (directory === null || inode?.kind !== 'directory') throw systemError('ENOENT', path);
    return { directory, names: inode.names, name };
  }

  #effect(effect: Effect): void {
    this.#pending.push(effect);
    this.changed();
  }

  /** What a file holds, as it is; null where there is none. */
  bytes(path: string): Uint8Array | null {
    const inode = this.inodes.get(this.#find(path) ?? -1);
    return inode?.kind === 'file' ? inode.content : null;
  }

  look(path: string): TreeEntry | null {
    const at = this.#find(path);
    const inode = at === null ? undefined : this.inodes.get(at);
    if (inode === undefined) return null;
    if (inode.kind === 'file') return { kind: 'file', size: inode.content.length, mode: inode.mode, links: 1 };
    return { kind: inode.kind, size: 0, mode: inode.kind === 'link' ? 0o777 : inode.mode, links: 1 };
  }

  list(directory: string): string[] {
    const at = this.#find(directory);
    const inode = at === null ? undefined : this.inodes.get(at);
    if (inode?.kind !== 'directory') throw systemError('ENOENT', directory);
    return [...inode.names.keys()];
  }

  readLink(path: string): string {
    const inode = this.inodes.get(this.#find(path) ?? -1);
    if (inode?.kind !== 'link') throw systemError('EINVAL', path);
    return inode.target;
  }

  create(path: string, mode: number): OpenTreeFile {
    this.#call();
    const { directory, names, name } = this.#parent(path);
    const there = this.inodes.get(names.get(name) ?? -1);
    if (there?.kind === 'directory') throw systemError('EISDIR', path);
    if (names.delete(name))
      this.#effect({ kind: 'names', changes: [{ directory, name, inode: null }], call: `replace ${path}` });
    return this.#written(path, mode);
  }

  /** What open(2) with O_TRUNC does: a file that is there stays the same file. */
  overwrite(path: string, mode: number): OpenTreeFile {
    this.#call();
    return this.#written(path, mode);
  }

  #written(path: string, mode: number): OpenTreeFile {
    const { directory, names, name } = this.#parent(path);
    let at = names.get(name);
    if (at === undefined) {
      at = this.#next++;
      this.inodes.set(at, { kind: 'file', content: new Uint8Array(), mode });
      names.set(name, at);
      this.#effect({ kind: 'names', changes: [{ directory, name, inode: at }], call: `create ${path}` });
    }
    const inode = this.inodes.get(at);
    if (inode?.kind !== 'file') throw systemError('ELOOP', path);
    inode.mode = mode;
    inode.content = new Uint8Array();
    this.#effect({ kind: 'content', inode: at, content: inode.content, sure: 0, call: `truncate ${path}` });
    return this.#file(at, path);
  }

  append(path: string, mode: number): OpenTreeFile {
    return this.look(path) === null ? this.create(path, mode) : this.open(path);
  }

  openFresh(path: string): OpenTreeFile {
    return this.open(path);
  }

  open(path: string): OpenTreeFile {
    this.#call();
    const at = this.#find(path);
    if (at === null) throw systemError('ENOENT', path);
    if (this.inodes.get(at)?.kind !== 'file') throw systemError('ELOOP', path);
    return this.#file(at, path);
  }

  #file(at: number, path: string): OpenTreeFile {
    const inode = this.inodes.get(at);
    if (inode?.kind !== 'file') throw systemError('EBADF', path);
    let position = 0;
    return {
      read: (into) => {
        this.#call();
        const part = inode.content.subarray(position, position + into.length);
        into.set(part);
        position += part.length;
        return part.length;
      },
      write: (bytes) => {
        this.#call();
        const before = this.#pending.findLast((effect) => effect.kind === 'content' && effect.inode === at);
        const sure = before?.kind === 'content' ? before.sure : inode.content.length;
        inode.content = Uint8Array.from(Buffer.concat([inode.content, bytes]));
        this.#effect({ kind: 'content', inode: at, content: inode.content, sure, call: `write ${path}` });
      },
      sync: () => {
        this.#call();
        const settles = (effect: Effect): boolean => effect.kind === 'content' && effect.inode === at;
        if (this.#safeguard('fsync', path, settles)) this.#settle(settles);
      },
      close: () => {},
    };
  }

  setMode(path: string, mode: number): void {
    this.#call();
    const inode = this.inodes.get(this.#find(path) ?? -1);
    if (inode?.kind === 'file') inode.mode = mode;
  }

  makeDirectory(path: string): void {
    this.#make(path, { kind: 'directory', names: new Map(), mode: 0o755 });
  }

  makeLink(target: string, path: string): void {
    this.#make(path, { kind: 'link', target });
  }

  #make(path: string, inode: Inode): void {
    this.#call();
    const { directory, names, name } = this.#parent(path);
    if (names.has(name)) throw systemError('EEXIST', path);
    const at = this.#next++;
    this.inodes.set(at, inode);
    names.set(name, at);
    this.#effect({ kind: 'names', changes: [{ directory, name, inode: at }], call: `make ${path}` });
  }

  rename(from: string, to: string): void {
    this.#call();
    const [old, target] = [this.#parent(from), this.#parent(to)];
    const at = old.names.get(old.name);
    if (at === undefined) throw systemError('ENOENT', from);
    const inode = this.inodes.get(at);
    if (!this.#safeguard('rename', to) && inode?.kind === 'file') {
      // What a program without the rename does: it writes into the file itself.
      const file = this.overwrite(to, inode.mode);
      file.write(inode.content);
      file.sync();
      return;
    }
    old.names.delete(old.name);
    target.names.set(target.name, at);
    this.#effect({
      kind: 'names',
      changes: [
        { directory: old.directory, name: old.name, inode: null },
        { directory: target.directory, name: target.name, inode: at },
      ],
      call: `rename ${to}`,
    });
  }

  remove(path: string): void {
    this.#unlink(path, (inode) => inode.kind !== 'directory');
  }

  removeDirectory(path: string): void {
    this.#unlink(path, (inode) => inode.kind === 'directory' && inode.names.size === 0);
  }

  #unlink(path: string, may: (inode: Inode) => boolean): void {
    this.#call();
    const { directory, names, name } = this.#parent(path);
    const at = names.get(name);
    const inode = at === undefined ? undefined : this.inodes.get(at);
    if (inode === undefined) throw systemError('ENOENT', path);
    if (!may(inode)) throw systemError('ENOTEMPTY', path);
    names.delete(name);
    this.#effect({ kind: 'names', changes: [{ directory, name, inode: null }], call: `remove ${path}` });
  }

  syncDirectory(path: string): void {
    this.#call();
    const at = this.#find(path);
    if (at === null) throw systemError('ENOENT', path);
    const settles = (effect: Effect): boolean =>
      effect.kind === 'names' && effect.changes.some(({ directory }) => directory === at);
    if (this.#safeguard('fsync of a directory', path, settles)) this.#settle(settles);
  }

  syncAll(): void {
    this.#call();
    if (this.#safeguard('syncfs', '', () => true)) this.#settle(() => true);
  }

  freeBytes(): number {
    return Number.MAX_SAFE_INTEGER;
  }

  #settle(which: (effect: Effect) => boolean): void {
    this.#durable.push(...this.#pending.filter(which));
    this.#pending = this.#pending.filter((effect) => !which(effect));
    this.changed();
  }

  get pending(): readonly Effect[] {
    return this.#pending;
  }

  /**
   * What a machine finds after a power cut: what was durable, and of the rest what is said to have happened. Content
   * that had not reached the disk is not there, torn, or zeros.
   */
  afterCut(happened: (effect: Effect, index: number) => 'all' | 'torn' | 'zeros' | 'none'): TreeFiles {
    const contents = new Map<number, Uint8Array>();
    const names = new Map<number, Map<string, number>>([[0, new Map()]]);
    const apply = (effect: Effect, way: 'all' | 'torn' | 'zeros'): void => {
      if (effect.kind === 'content') contents.set(effect.inode, damaged(effect, way));
      else
        for (const { directory, name, inode } of effect.changes) {
          const of = names.get(directory) ?? new Map<string, number>();
          names.set(directory, of);
          if (inode === null) of.delete(name);
          else of.set(name, inode);
        }
    };
    this.#durable.forEach((effect) => apply(effect, 'all'));
    this.#pending.forEach((effect, index) => {
      const way = happened(effect, index);
      if (way !== 'none') apply(effect, way);
    });
    return this.#rebuilt(contents, names);
  }

  #rebuilt(
    contents: ReadonlyMap<number, Uint8Array>,
    names: ReadonlyMap<number, ReadonlyMap<string, number>>,
  ): TreeFiles {
    const after = new TreeFiles();
    after.#next = this.#next;
    const rebuild = (at: number): void => {
      const inode = this.inodes.get(at);
      if (inode === undefined) return;
      if (inode.kind === 'link') after.inodes.set(at, inode);
      if (inode.kind === 'file')
        after.inodes.set(at, { kind: 'file', content: contents.get(at) ?? new Uint8Array(), mode: inode.mode });
      if (inode.kind !== 'directory') return;
      const of = names.get(at) ?? new Map<string, number>();
      after.inodes.set(at, { kind: 'directory', names: new Map(of), mode: inode.mode });
      for (const child of of.values()) rebuild(child);
    };
    rebuild(0);
    // What is there now is durable: the next cut starts from it.
    for (const [at, inode] of after.inodes) {
      if (inode.kind === 'file')
        after.#durable.push({
          kind: 'content',
          inode: at,
          content: inode.content,
          sure: inode.content.length,
          call: 'before',
        });
      if (inode.kind !== 'directory') continue;
      const changes = [...inode.names].map(([name, child]) => ({ directory: at, name, inode: child }));
      after.#durable.push({ kind: 'names', changes, call: 'before' });
    }
    return after;
  }
}

function damaged({ content, sure }: Extract<Effect, { kind: 'content' }>, way: 'all' | 'torn' | 'zeros'): Uint8Array {
  if (way === 'all') return content;
  if (way === 'torn') return content.slice(0, sure + Math.floor((content.length - sure) / 2));
  const zeros = new Uint8Array(content.length);
  zeros.set(content.subarray(0, sure));
  return zeros;
}

export class PowerCut extends Error {}
