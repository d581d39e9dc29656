import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  withSighting,
  type Placed,
  type Running,
  type Sighting,
  type Stretch,
} from '@paddock/cloud/ingest/firmware-history.ts';
import { isAfter } from '@paddock/cloud/ingest/order.ts';

/** What a report is called in these tests: its sequence. */
type History = readonly Stretch<number>[];

const release = (counter: number): Running => ({
  name: 'kiosk',
  version: `1.${counter}.0`,
  counter,
  sha256: String(counter).repeat(64),
});
const at = (sequence: number, ordinal = 1): Placed<number> => ({
  place: { ordinal, start: 1, sequence },
  mark: sequence,
});
const seen = (sequence: number, counter: number, ordinal = 1): Sighting<number> => ({
  ...at(sequence, ordinal),
  running: release(counter),
  slot: 'a',
});

/** Feeds batches of sightings as ingest does: of each batch the newest first, what was put in its place before is in the archive. */
function historyOf(...batches: readonly (readonly Sighting<number>[])[]): History {
  let history: History = [];
  let newest: Sighting<number> | null = null;
  const archive: Sighting<number>[] = [];
  for (const batch of batches) {
    const [last, ...others] = batch.toSorted((a, b) => (isAfter(a.place, b.place) ? -1 : 1));
    if (last && (newest === null || isAfter(last.place, newest.place))) newest = last;
    for (const one of [...(last ? [last] : []), ...others.toReversed()]) {
      const isLast = history.at(-1)?.running?.counter === newest?.running?.counter;
      const own = archive.filter(({ place }) => place.ordinal === one.place.ordinal);
      const known = own.toSorted((a, b) => (isAfter(a.place, b.place) ? 1 : -1));
      history = withSighting(history, one, {
        newest: isLast ? newest : null,
        before: known.findLast(({ place }) => isAfter(one.place, place)) ?? null,
        after: known.find(({ place }) => isAfter(place, one.place)) ?? null,
      });
      archive.push(one);
    }
  }
  return history;
}
const oneByOne = (...sightings: readonly Sighting<number>[]): History => historyOf(...sightings.map((one) => [one]));

/** Counter of the release, the report that shows it, and the last one that does not yet. */
const told = (history: History) =>
  history.map(({ running, shown, before }) => [running?.counter, shown.mark, before?.mark ?? null]);

describe('what a device ran', () => {
  it('begins with the report that shows it', () => {
    expect(told(oneByOne(seen(1, 1), seen(2, 1), seen(3, 2)))).toEqual([
      [1, 1, null],
      [2, 3, 2],
    ]);
  });

  it('knows of a release that came and went while the cloud was away', () => {
    const history = oneByOne(seen(1, 1), seen(9, 1), seen(4, 2), seen(5, 2), seen(7, 1));
    expect(told(history)).toEqual([
      [1, 1, null],
      [2, 4, 1],
      [1, 7, 5],
    ]);
  });

  it('began when a late report shows it already, and not before one that does not', () => {
    expect(told(oneByOne(seen(1, 1), seen(9, 2), seen(5, 2), seen(3, 1)))).toEqual([
      [1, 1, null],
      [2, 5, 3],
    ]);
  });

  it('is bounded by no report of another life', () => {
    const history = oneByOne(seen(1, 1), seen(1, 2, 2), seen(7, 1));
    expect(told(history)).toEqual([
      [1, 1, null],
      [2, 1, null],
    ]);
  });

  it('keeps its rows where a sighting says nothing new', () => {
    const history = oneByOne(seen(1, 1), seen(3, 2));
    expect(withSighting(history, seen(4, 2), { newest: at(4), before: at(3), after: null })).toBe(history);
  });

  it('is told of by several reports of one batch', () => {
    expect(told(historyOf([seen(1, 1)], [seen(7, 1)], [seen(5, 2), seen(8, 3), seen(9, 2), seen(10, 2)]))).toEqual([
      [1, 1, null],
      [2, 5, 1],
      [1, 7, 5],
      [3, 8, 7],
      [2, 9, 8],
    ]);
  });

  it('names the same releases in whatever order and in whatever batches reports come, and no interval is wrong', () => {
    const counters = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 12 });
    const sightings = counters.chain((runs) => {
      const all = runs.map((counter, index) => seen(index + 1, counter));
      const shuffled = fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
      return fc.tuple(fc.constant(all), shuffled, fc.array(fc.integer({ min: 1, max: 4 })));
    });
    fc.assert(
      fc.property(sightings, ([inOrder, shuffled, sizes]) => {
        const batches: Sighting<number>[][] = [];
        for (let rest = shuffled, turn = 0; rest.length > 0; turn += 1) {
          const size = sizes[turn] ?? 1;
          batches.push(rest.slice(0, size));
          rest = rest.slice(size);
        }
        const history = historyOf(...batches);
        const firsts = inOrder.filter(
          ({ running }, index) => running?.counter !== inOrder[index - 1]?.running?.counter,
        );
        expect(history.map(({ running }) => running?.counter)).toEqual(firsts.map(({ running }) => running?.counter));
        for (const [index, { shown, before }] of history.entries()) {
          const first = firsts[index]?.mark ?? 0;
          expect([first <= shown.mark, (before?.mark ?? 0) < first]).toEqual([true, true]);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
