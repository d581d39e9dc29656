import { isAfter, type Place } from './order.ts';

/** What runs; null: nothing does. */
export type Running = Readonly<{ name: string; version: string; counter: number; sha256: string }> | null;

/** From here on a device ran this, until the next one. `Mark` is what is kept of a report. */
export interface Stretch<Mark> {
  /** Of the row that keeps it; null while none does. */
  readonly id: number | null;
  readonly running: Running;
  readonly slot: string | null;
  /** The first report that shows it. */
  readonly shown: Placed<Mark>;
  /** The last report before that does not show it yet; null where none is known. */
  readonly before: Placed<Mark> | null;
}

export interface Placed<Mark> {
  readonly place: Place;
  readonly mark: Mark;
}

/** A report that says what runs, and that it is committed. */
export interface Sighting<Mark> extends Placed<Mark> {
  readonly running: Running;
  readonly slot: string | null;
}

/** What else is known where a sighting is put in its place. */
export interface Beside<Mark> {
  /** The newest report, where it shows what the last stretch says. */
  readonly newest: Placed<Mark> | null;
  /** The reports that are known right before and right after the sighting. */
  readonly before: Placed<Mark> | null;
  readonly after: Placed<Mark> | null;
}

/**
 * Puts a sighting in its place among what a device ran, whenever it came. Invariant: in whatever order the same reports
 * come, the same releases stand there in the same order; the later ones narrow the intervals.
 * @param history in the device's own order
 * @returns the same history when the sighting says nothing new
 */
export function withSighting<Mark>(
  history: readonly Stretch<Mark>[],
  seen: Sighting<Mark>,
  { newest, before, after }: Beside<Mark>,
): readonly Stretch<Mark>[] {
  const at = history.findIndex(({ shown }) => isAfter(shown.place, seen.place));
  const [earlier, later] = at < 0 ? [history, []] : [history.slice(0, at), history.slice(at)];
  const previous = earlier.at(-1);
  const [next, ...others] = later;
  if (previous !== undefined && isSameRelease(previous.running, seen.running)) {
    const narrower = next && narrowed(next, seen);
    return narrower === next || narrower === undefined ? history : [...earlier, narrower, ...others];
  }
  const own: Stretch<Mark> = { id: null, running: seen.running, slot: seen.slot, shown: placed(seen), before };
  // How far the stretch before is known to reach: what is seen lies within it, or behind it.
  const reaches = next === undefined ? newest : next.before;
  if (previous !== undefined && reaches !== null && isAfter(reaches.place, seen.place))
    return [...earlier, own, goneOn(previous, seen, after, reaches), ...later];
  if (next === undefined) return [...earlier, own];
  return isSameRelease(next.running, seen.running)
    ? [...earlier, { ...next, shown: placed(seen) }, ...others]
    : [...earlier, own, narrowed(next, seen), ...others];
}

/** A stretch goes on behind what was seen within it. Whatever lies in between was seen, and said what the stretch says. */
function goneOn<Mark>(
  stretch: Stretch<Mark>,
  seen: Sighting<Mark>,
  after: Placed<Mark> | null,
  reaches: Placed<Mark>,
): Stretch<Mark> {
  const shown = after === null || isAfter(after.place, reaches.place) ? reaches : after;
  return narrowed({ ...stretch, id: null, shown, before: null }, seen);
}

const placed = <Mark>({ place, mark }: Placed<Mark>): Placed<Mark> => ({ place, mark });

/** A report of another life of the device bounds nothing: which of two lives was first is not certain. */
function narrowed<Mark>(stretch: Stretch<Mark>, seen: Placed<Mark>): Stretch<Mark> {
  if (stretch.shown.place.ordinal !== seen.place.ordinal) return stretch;
  if (stretch.before !== null && !isAfter(seen.place, stretch.before.place)) return stretch;
  return { ...stretch, before: placed(seen) };
}

export const isSameRelease = (one: Running, other: Running): boolean =>
  one === null || other === null
    ? one === other
    : one.name === other.name && one.counter === other.counter && one.sha256 === other.sha256;
