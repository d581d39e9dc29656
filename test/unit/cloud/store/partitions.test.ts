import fc from 'fast-check';
import { expect, test } from 'vitest';
import { partitionOf, planPartitions } from '@paddock/cloud/store/partitions.ts';
import { fromInstant, wallMs } from '@paddock/shared/time.ts';

const DAY_MS = 86_400_000;
const NOON = fromInstant('2028-02-29T12:00:00.000Z');

test('a partition is one day of UTC', () => {
  const { name, from, to } = partitionOf(NOON);
  expect(name).toBe('reports_20280229');
  expect([from, to]).toEqual([fromInstant('2028-02-29T00:00:00.000Z'), fromInstant('2028-03-01T00:00:00.000Z')]);
});

test('every moment lies in its partition, and partitions touch without a gap', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000_000 }), (ms) => {
      const { from, to } = partitionOf(wallMs(ms));
      expect(from <= ms && ms < to).toBe(true);
      expect(partitionOf(to).from).toBe(to);
    }),
  );
});

test('yesterday, today and the days ahead stand; what stands is not made again', () => {
  const { create, drop } = planPartitions(['reports_20280229', 'reports_default'], NOON, {
    retentionDays: 0,
    aheadDays: 2,
  });
  expect(create.map(({ name }) => name)).toEqual(['reports_20280228', 'reports_20280301', 'reports_20280302']);
  expect(drop).toEqual([]);
});

test('a partition is dropped only when all of it is past the retention', () => {
  const days = (count: number): string => partitionOf(wallMs(NOON - count * DAY_MS)).name;
  const { drop } = planPartitions([days(9), days(4), days(3), days(0), 'reports_default'], NOON, { retentionDays: 3 });
  expect(drop).toEqual([days(9), days(4)]);
});

test('nothing is made that would be dropped at once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 10 }), (retentionDays, aheadDays) => {
      const { create } = planPartitions([], NOON, { retentionDays, aheadDays });
      const made = create.map(({ name }) => name);
      expect(planPartitions(made, NOON, { retentionDays, aheadDays })).toMatchObject({ create: [], drop: [] });
    }),
  );
});
