import type { Inventory } from '@paddock/shared/inventory.ts';
import { carriedOver, diff, type Change } from './diff.ts';
import { flatten, isTelling, type Flat, type FlatComponent } from './flat.ts';

/** Where an inventory stands in its device's own order: never arrival, never a wall clock. */
export interface InventoryPlace {
  /** The device's incarnations, counted by the cloud as they appeared. */
  readonly ordinal: number;
  readonly start: number;
  readonly uptimeMs: number;
}

export type Verdict = 'new' | 'repeated' | 'late';

/** What is current only ever moves forward. */
export function judge(place: InventoryPlace, current: InventoryPlace | null): Verdict {
  if (current === null) return 'new';
  const ahead = place.ordinal - current.ordinal || place.start - current.start || place.uptimeMs - current.uptimeMs;
  return ahead > 0 ? 'new' : ahead === 0 ? 'repeated' : 'late';
}

/** What a new inventory shows. */
export interface Comparison {
  /** What the next one is compared with. */
  readonly components: Flat;
  /** Nothing for the first inventory of a device: there is nothing that it could have changed. */
  readonly changes: readonly Change[];
  /** Components that are new here and have a serial number: they may come from another device. */
  readonly arrivals: readonly FlatComponent[];
}

/** @param before what was current; null for the first inventory of a device */
export function compare(
  { components, unseen = [] }: Pick<Inventory, 'components' | 'unseen'>,
  before: Flat | null,
): Comparison {
  const seen = flatten(components);
  const now = before === null ? seen : carriedOver(before, seen, unseen);
  const changes = diff(before ?? new Map(), now);
  const arrivals = changes.flatMap(({ change, after }) =>
    change === 'added' && isTelling(after.own.serialNumber) ? [after] : [],
  );
  return { components: now, changes: before === null ? [] : changes, arrivals };
}
