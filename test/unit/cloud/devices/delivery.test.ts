import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deliveryOf } from '@paddock/cloud/devices/delivery.ts';

const ROW = {
  newest_sequence: 9,
  settled_below: 0,
  abandoned: 0,
  dropped_routine: 0,
  dropped_events: 0,
  recorded_above: 10,
  refused: 0,
};

test('all that was made is recorded', () => {
  expect(deliveryOf(ROW)).toMatchObject({ recorded: 10, missing: 0, lostOrOnTheWay: 0 });
});

test('a start of which nothing is recorded misses nothing that is known', () => {
  const row = { ...ROW, newest_sequence: null, recorded_above: 0, refused: 2, settled_below: Number.MAX_SAFE_INTEGER };
  expect(deliveryOf(row)).toMatchObject({ recorded: 0, missing: 0, refused: 2, lostOrOnTheWay: 0 });
});

test('below where holes are settled, what is not abandoned is recorded', () => {
  const row = { ...ROW, newest_sequence: 199, settled_below: 100, abandoned: 30, recorded_above: 90 };
  expect(deliveryOf(row)).toMatchObject({ recorded: 160, missing: 40, abandoned: 30, lostOrOnTheWay: 10 });
});

test('nothing is counted twice among the missing, whatever the device says that it dropped', () => {
  const count = fc.nat({ max: 50 });
  fc.assert(
    fc.property(count, count, count, count, count, (newest, holes, dropped, refused, settled) => {
      const settledBelow = Math.min(settled, newest);
      const abandoned = Math.min(holes, settledBelow);
      const view = deliveryOf({
        newest_sequence: newest,
        settled_below: settledBelow,
        abandoned,
        dropped_routine: dropped,
        dropped_events: 0,
        recorded_above: Math.max(0, newest + 1 - settledBelow - holes),
        refused,
      });
      expect(view.recorded + view.missing).toBe(newest + 1);
      expect(view.lostOrOnTheWay).toBeLessThanOrEqual(Math.max(0, view.missing - abandoned));
    }),
  );
});
