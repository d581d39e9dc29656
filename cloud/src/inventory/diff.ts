import { canonicalComponent, type ComponentKind } from '@paddock/shared/inventory.ts';
import type { Flat, FlatComponent } from './flat.ts';

/** What became of one component from one inventory to the next. */
export type Change =
  | { readonly change: 'added'; readonly key: string; readonly before: null; readonly after: FlatComponent }
  | { readonly change: 'removed'; readonly key: string; readonly before: FlatComponent; readonly after: null }
  /** Of the same component: something that is said of it, or where it stands. */
  | { readonly change: 'changed'; readonly key: string; readonly before: FlatComponent; readonly after: FlatComponent };

/** Every change, in order: `apply(diff(a, b), a)` is `b`. */
export function diff(a: Flat, b: Flat): Change[] {
  const removed = [...a].flatMap(([key, before]): Change[] =>
    b.has(key) ? [] : [{ change: 'removed', key, before, after: null }],
  );
  const others = [...b].flatMap(([key, after]): Change[] => {
    const before = a.get(key);
    if (before === undefined) return [{ change: 'added', key, before: null, after }];
    return isSame(before, after) ? [] : [{ change: 'changed', key, before, after }];
  });
  return [...removed, ...others];
}

/** What a list is after changes that were found with it. */
export function apply(changes: readonly Change[], flat: Flat): Flat {
  const changed = new Map(flat);
  for (const { key, after } of changes) {
    if (after === null) changed.delete(key);
    else changed.set(key, after);
  }
  return changed;
}

/** What stays of before beside what was seen now: that which could not be looked for. */
export const carriedOver = (before: Flat, now: Flat, unseen: readonly ComponentKind[]): Flat =>
  new Map([...[...before].filter(([key, { own }]) => unseen.includes(own.kind) && !now.has(key)), ...now]);

const isSame = (a: FlatComponent, b: FlatComponent): boolean =>
  canonicalComponent(a.own) === canonicalComponent(b.own) && JSON.stringify(a.path) === JSON.stringify(b.path);
