import { isFile, isLink, type IndexEntry } from '@paddock/shared/bundle-index.ts';

/** What became of a path from one bundle to another. */
export interface PathChange {
  readonly change: 'added' | 'removed' | 'changed';
  readonly path: string;
  /** Bytes of the file before and after; null where there is no file. */
  readonly before: number | null;
  readonly after: number | null;
}

/** In the order of the paths. */
export function diffEntries(from: readonly IndexEntry[], to: readonly IndexEntry[]): PathChange[] {
  const old = new Map(from.map((entry) => [entry.path, entry]));
  const now = new Map(to.map((entry) => [entry.path, entry]));
  const paths = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  return paths.flatMap((path) => changeOf(path, old.get(path), now.get(path)) ?? []);
}

function changeOf(path: string, old: IndexEntry | undefined, now: IndexEntry | undefined): PathChange | null {
  if (old !== undefined && now !== undefined && isSame(old, now)) return null;
  const change = old === undefined ? 'added' : now === undefined ? 'removed' : 'changed';
  return { change, path, before: sizeOf(old), after: sizeOf(now) };
}

const sizeOf = (entry: IndexEntry | undefined): number | null =>
  entry !== undefined && isFile(entry) ? entry.size : null;

function isSame(a: IndexEntry, b: IndexEntry): boolean {
  if (isFile(a) && isFile(b)) return a.mode === b.mode && a.sha256 === b.sha256;
  if (isLink(a) && isLink(b)) return a.link === b.link;
  return 'directory' in a && 'directory' in b;
}
