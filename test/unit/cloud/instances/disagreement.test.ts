import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeClocks } from '@paddock/cloud/instances/clock-watch.ts';
import { contradicting, type ClockReading } from '@paddock/cloud/instances/disagreement.ts';
import type { ClockAlarm } from '@paddock/cloud/instances/register.ts';
import { wallMs } from '@paddock/shared/time.ts';

const clockOf = (name: string, offsetMs: number, errorMs: number, halfTripMs = 1): ClockReading => ({
  name,
  lowMs: offsetMs - halfTripMs,
  highMs: offsetMs + halfTripMs,
  errorMs,
});

describe('clocks that contradict each other', () => {
  test('are the one that most others leave alone', () => {
    const readings = [clockOf('a', 0, 10), clockOf('b', 5, 10), clockOf('c', 400, 10), clockOf('d', -3, 10)];
    expect(contradicting(readings)).toEqual(['c']);
  });

  test('are both, when there are only two', () => {
    expect(contradicting([clockOf('a', 0, 10), clockOf('b', 30, 10)])).toEqual(['a', 'b']);
  });

  test('are those of both halves, when neither is the larger one', () => {
    const readings = [clockOf('a', 0, 5), clockOf('b', 1, 5), clockOf('c', 90, 5), clockOf('d', 91, 5)];
    expect(contradicting(readings)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('are none while each can be right: a slow round trip or a humble clock says less', () => {
    expect(contradicting([clockOf('a', 0, 10), clockOf('b', 30, 10, 25)])).toEqual([]);
    expect(contradicting([clockOf('a', 0, 10), clockOf('b', 30, 500)])).toEqual([]);
    expect(contradicting([clockOf('a', 0, 10)])).toEqual([]);
    expect(contradicting([])).toEqual([]);
  });

  test('are never among clocks that keep their promise', () => {
    const kept = fc.record({
      error: fc.double({ min: -1, max: 1, noNaN: true }),
      claim: fc.nat(1_000),
      trip: fc.nat(50),
    });
    fc.assert(
      fc.property(fc.array(kept, { maxLength: 8 }), fc.integer({ min: -500, max: 500 }), (clocks, database) => {
        const readings = clocks.map(({ error, claim, trip }, n) =>
          clockOf(`i${n}`, database + error * claim, claim, trip),
        );
        expect(contradicting(readings)).toEqual([]);
      }),
    );
  });
});

describe('the alarm of the clocks', () => {
  const AGREED: ClockAlarm = { since: null, lastAt: null, named: [] };
  const good = [clockOf('database', 0, 100), clockOf('a', 0, 10)];
  const bad = [clockOf('database', 0, 100), clockOf('a', 900, 10)];
  const at = (seconds: number) => wallMs(Date.UTC(2026, 10, 23) + seconds * 1_000);

  test('is told once when it begins, and once when it has been over for a while', () => {
    const told: string[] = [];
    let alarm = AGREED;
    const rounds = [good, bad, good, bad, good, good, good, good, good];
    for (const [round, readings] of rounds.entries()) {
      const verdict = judgeClocks(alarm, readings, at(round * 10));
      alarm = verdict.alarm;
      told.push(...verdict.notices.map(({ type }) => `${round} ${type}`));
    }
    expect(told).toEqual(['1 cloud.clock-disagrees', '6 cloud.clock-agrees']);
    expect(alarm).toEqual(AGREED);
  });

  test('names whom, with what they say', () => {
    const { alarm, notices } = judgeClocks(AGREED, bad, at(0));
    expect(alarm).toEqual({ since: at(0), lastAt: at(0), named: ['database', 'a'] });
    expect(notices[0]?.data).toMatchObject({
      named: ['database', 'a'],
      clocks: [{ name: 'database' }, { errorMs: 10 }],
    });
  });

  test('ends although the clock that times it was set back', () => {
    const { alarm } = judgeClocks(AGREED, bad, at(0));
    expect(judgeClocks(alarm, good, at(-86_400)).alarm).toEqual(AGREED);
  });
});
