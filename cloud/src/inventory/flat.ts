import { canonicalComponent, isPlaceholder, type Component } from '@paddock/shared/inventory.ts';

/** A component without the parts of it. */
export type Own = Omit<Component, 'children'>;

/** Where a component stands: kind and name of each from the outermost to it, and which it is of several such. */
export type Path = readonly string[];

export interface FlatComponent {
  readonly path: Path;
  readonly own: Own;
}

/**
 * A tree as a list, each component under the name by which it is known again: its serial number, wherever it is
 * plugged in, or else its place. In the order of the canonical tree, outer ones first.
 */
export type Flat = ReadonlyMap<string, FlatComponent>;

/** Shorter ones are given to many. */
const LEAST_CHARS = 4;
/** One character, again and again. */
const MONOTONE = /^(.)\1*$/;

/** Whether a serial number tells one component from all others of its kind. */
export const isTelling = (serialNumber: string | undefined): serialNumber is string =>
  serialNumber !== undefined &&
  serialNumber.length >= LEAST_CHARS &&
  !MONOTONE.test(serialNumber) &&
  !isPlaceholder(serialNumber);

export function flatten(components: readonly Component[]): Flat {
  const flat = new Map<string, FlatComponent>();
  for (const found of walk(components, []))
    flat.set(
      unique(keyOf(found), (key) => flat.has(key)),
      found,
    );
  return flat;
}

/** A list as the tree that it was made of. Parts of something that is not listed stand at the top. */
export function treeOf(flat: readonly FlatComponent[]): Component[] {
  const listed = new Set(flat.map(({ path }) => placeOf(path)));
  const inside = Map.groupBy(flat, ({ path }) => outerOf(path, listed));
  const build = ({ path, own }: FlatComponent): Component => {
    const children = (inside.get(placeOf(path)) ?? []).map(build);
    return children.length > 0 ? { ...own, children } : own;
  };
  return (inside.get(TOP) ?? []).map(build);
}

const placeOf = (path: Path): string => JSON.stringify(path);
const TOP = placeOf([]);

function outerOf(path: Path, listed: ReadonlySet<string>): string {
  const outer = placeOf(path.slice(0, -1));
  return listed.has(outer) ? outer : TOP;
}

function* walk(components: readonly Component[], outer: Path): Generator<FlatComponent> {
  const taken = new Set<string>();
  for (const { children = [], ...own } of inOrder(components)) {
    const segment = unique(`${own.kind} ${own.name}`, (name) => taken.has(name));
    taken.add(segment);
    const path = [...outer, segment];
    yield { path, own };
    yield* walk(children, path);
  }
}

const inOrder = (components: readonly Component[]): readonly Component[] =>
  components
    .map((component) => [canonicalComponent(component), component] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, component]) => component);

/** A serial number is one within its kind. No place looks like that, because a place is a list. */
const keyOf = ({ path, own }: FlatComponent): string =>
  isTelling(own.serialNumber) ? `${own.kind} ${own.serialNumber}` : placeOf(path);

/** The name itself, or the first with a number behind it that is free. */
function unique(name: string, isTaken: (name: string) => boolean): string {
  for (let count = 1; ; count += 1) {
    const tried = count === 1 ? name : `${name} #${count}`;
    if (!isTaken(tried)) return tried;
  }
}
