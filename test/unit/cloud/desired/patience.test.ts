import { Patience } from '@paddock/cloud/desired/patience.ts';
import { isBehind, isSameReport, reportedOf } from '@paddock/cloud/desired/standing.ts';
import { describe, expect, it, test } from 'vitest';

const MINUTE = 60_000;

describe('sending again to who does not take it up', () => {
  it('comes after growing pauses, up to an hour', () => {
    const patience = new Patience();
    const sent: number[] = [];
    for (let now = 0; now < 6 * 60 * MINUTE; now += MINUTE / 2)
      if (patience.mayTry('a', 1, now)) sent.push(now / MINUTE);
    expect(sent.slice(0, 6)).toEqual([0, 0.5, 1.5, 3.5, 7.5, 15.5]);
    expect(sent).toHaveLength(12);
  });

  it('begins anew with another version, and with a device that has it', () => {
    const patience = new Patience();
    for (let now = 0; now < 60 * MINUTE; now += MINUTE) patience.mayTry('a', 1, now);
    expect(patience.mayTry('a', 1, 60 * MINUTE)).toBe(false);
    expect(patience.mayTry('b', 1, 60 * MINUTE)).toBe(true);
    expect(patience.mayTry('a', 2, 60 * MINUTE)).toBe(true);
    patience.forget('a');
    expect(patience.mayTry('a', 2, 60 * MINUTE)).toBe(true);
  });
});

test('who reports none, an older version or an older epoch lacks something', () => {
  const current = { epoch: 3, version: 5 };
  expect(isBehind(current, null)).toBe(true);
  expect(isBehind(current, { epoch: 3, version: 4 })).toBe(true);
  expect(isBehind(current, { epoch: 2, version: 9 })).toBe(true);
  expect(isBehind(current, { epoch: 3, version: 5, errors: { x: { code: 'y' } } })).toBe(false);
  expect(isBehind(current, { epoch: 3, version: 6 })).toBe(false);
});

test('reports are the same whatever the order of their keys, and what a newer agent adds', () => {
  const [a, b] = [{ code: 'a' }, { code: 'b', detail: 'why' }];
  const one = { epoch: 0, version: 1, errors: { a, b } };
  const other = { errors: { b: { detail: 'why', code: 'b' }, a: { ...a, more: 1 } }, version: 1, epoch: 0, more: true };
  expect(isSameReport(one, other)).toBe(true);
  expect(reportedOf({ epoch: 0, version: 1, errors: {} })).toEqual({ epoch: 0, version: 1 });
  expect(isSameReport(one, { ...one, version: 2 })).toBe(false);
  expect(isSameReport(null, null)).toBe(true);
  const withheld = { epoch: 0, version: 3 };
  expect(isSameReport(one, { ...one, withheld })).toBe(false);
  expect(reportedOf({ epoch: 0, version: 0, withheld })).toEqual({ epoch: 0, version: 0, withheld });
});
