import { recordedIn } from '@paddock/cloud/ingest/gaps.ts';
import type { StartEntry } from '@paddock/cloud/ingest/ledger.ts';
import { countOf } from '@paddock/cloud/ingest/ranges.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const EMPTY: StartEntry = {
  deviceId: 'kiosk-0001',
  incarnation: 'q1b2Yz0x9Wk',
  start: 1,
  ordinal: 1,
  bootId: 'boot',
  firstReceivedAt: new Date(0),
  recorded: [],
  rejected: [],
  droppedRoutine: 0,
  droppedEvents: 0,
  settledBelow: 0,
  abandoned: 0,
};

const record = (sequences: readonly number[]): StartEntry =>
  sequences.reduce((start, sequence) => recordedIn(start, { sequence }), EMPTY);

describe('what is recorded of a start', () => {
  it('keeps the newest count of what the device had to drop, in whatever order reports come', () => {
    const outbox = (droppedRoutine: number, droppedEvents: number) => ({ waiting: 0, droppedRoutine, droppedEvents });
    const late = recordedIn(EMPTY, { sequence: 9, outbox: outbox(7, 2) });
    expect(recordedIn(late, { sequence: 3, outbox: outbox(1, 0) })).toMatchObject({
      droppedRoutine: 7,
      droppedEvents: 2,
    });
  });

  it('gives up the oldest holes when there are more than a row should hold, and counts what they miss', () => {
    const start = record(Array.from({ length: 1500 }, (_, n) => n * 2));
    expect(start.recorded).toHaveLength(1024);
    expect(start.recorded[0]).toEqual([952, 952]);
    // Every odd sequence below was never there.
    expect(start).toMatchObject({ settledBelow: 952, abandoned: 476 });
  });

  it('loses no sequence of the account: recorded, missing and abandoned are all there ever were', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(6000), { minLength: 1, maxLength: 1800, size: 'max' }), (sequences) => {
        const sorted = sequences.toSorted((a, b) => a - b);
        const start = record(sorted);
        const newest = sorted.at(-1) ?? 0;
        const settled = sorted.filter((sequence) => sequence < start.settledBelow).length;
        const missingAbove = newest + 1 - start.settledBelow - countOf(start.recorded);
        expect(settled + start.abandoned + countOf(start.recorded) + missingAbove).toBe(newest + 1);
      }),
      { numRuns: 30 },
    );
  });
});
