import {
  askAfterMs,
  covered,
  EMPTY_BOOK,
  noteExchange,
  OLD_AFTER_MS,
  told,
  toTell,
  type ExchangeBook,
} from '@paddock/agent/clock/exchange-book.ts';
import { roundTripMs } from '@paddock/agent/clock/exchange.ts';
import { MAX_EXCHANGES, type Exchange } from '@paddock/shared/report.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const MINUTE = 60_000;
const exchange = (minute: number, tripMs = 40): Exchange => {
  const at = toInstant(wallMs(Date.UTC(2026, 10, 23) + minute * MINUTE));
  const responseUptimeMs = minute * MINUTE;
  return { requestUptimeMs: responseUptimeMs - tripMs, receivedAt: at, sentAt: at, responseUptimeMs };
};
const noted = (...exchanges: Exchange[]): ExchangeBook =>
  exchanges.reduce((book, one) => noteExchange(book, 0, one), EMPTY_BOOK);
const trips = (exchanges: readonly Exchange[]): number[] => exchanges.map(roundTripMs);

describe('what a report tells', () => {
  it('is every exchange once, in the next report', () => {
    const book = noted(exchange(10), exchange(40));
    const first = toTell(book, 0, false);
    expect(first).toHaveLength(2);
    expect(toTell(told(book, first, 7), 0, false)).toEqual([]);
  });

  it('is told once more when a report asks and no answer has covered the first, and then no more', () => {
    const book = noted(exchange(10));
    const once = told(book, toTell(book, 0, false), 7);
    expect(toTell(once, 0, true)).toEqual([exchange(10)]);
    const twice = told(once, toTell(once, 0, true), 9);
    expect([toTell(twice, 0, true), toTell(twice, 0, false)]).toEqual([[], []]);
  });

  it('is not told again when an answer has covered the report that told it', () => {
    const book = told(noted(exchange(10)), [], 6);
    const once = told(book, toTell(book, 0, false), 7);
    expect(toTell(covered(once, [[0, 6]]), 0, true)).toHaveLength(1);
    expect(
      toTell(
        covered(once, [
          [0, 2],
          [7, 7],
        ]),
        0,
        true,
      ),
    ).toEqual([]);
    // What was not told yet is covered by nothing.
    expect(toTell(covered(book, [[0, 100]]), 0, false)).toHaveLength(1);
  });

  it('is nothing of another segment', () => {
    const book = noted(exchange(10));
    expect(toTell(book, 3, true)).toEqual([]);
    expect(toTell(noteExchange(book, 3, exchange(50)), 3, true)).toEqual([exchange(50)]);
  });

  it('is the best of as many as a report has room for', () => {
    const worse = Array.from({ length: 20 }, (_, i) => exchange(10 * i, 500 - i));
    const book = noted(...worse);
    expect(trips(toTell(book, 0, false))).toEqual(Array.from({ length: MAX_EXCHANGES }, (_, i) => 481 + i));
  });

  it('is one of those that came within a minute, the best: a storm of events makes twenty a second', () => {
    const storm = Array.from({ length: 400 }, (_, i) => exchange(10 + i / 1200, 30 + ((i * 7) % 50)));
    expect(trips(toTell(noted(...storm), 0, false))).toEqual([30]);
    const book = noted(exchange(10, 40));
    const after = told(book, toTell(book, 0, false), 1);
    expect(toTell(noteExchange(after, 0, exchange(10.5, 60)), 0, false)).toEqual([]);
    expect(trips(toTell(noteExchange(after, 0, exchange(10.5, 20)), 0, false))).toEqual([20]);
  });

  it('is never too much, never of another segment, and never the same more than twice', () => {
    const Step = fc.oneof(
      fc.record({ kind: fc.constant('exchange' as const), trip: fc.nat(3_000), gap: fc.nat(40) }),
      fc.record({ kind: fc.constant('report' as const), asks: fc.boolean() }),
      fc.record({ kind: fc.constant('answer' as const) }),
      fc.record({ kind: fc.constant('suspend' as const) }),
    );
    fc.assert(
      fc.property(fc.array(Step, { maxLength: 80 }), (steps) => {
        let [book, minute, segment, sequence] = [EMPTY_BOOK, 0, 0, 0];
        const times = new Map<string, { segment: number; told: number }>();
        for (const step of steps) {
          if (step.kind === 'suspend') segment += 1;
          if (step.kind === 'answer') book = covered(book, [[0, sequence]]);
          if (step.kind === 'exchange') {
            minute += step.gap;
            const one = exchange(minute, step.trip);
            times.set(JSON.stringify(one), { segment, told: times.get(JSON.stringify(one))?.told ?? 0 });
            book = noteExchange(book, segment, one);
          }
          if (step.kind !== 'report') continue;
          const tells = toTell(book, segment, step.asks);
          expect(tells.length).toBeLessThanOrEqual(MAX_EXCHANGES);
          for (const one of tells) {
            const known = times.get(JSON.stringify(one));
            expect(known?.segment).toBe(segment);
            if (known) known.told += 1;
          }
          book = told(book, tells, sequence++);
        }
        expect(Math.max(0, ...[...times.values()].map((entry) => entry.told))).toBeLessThanOrEqual(2);
      }),
    );
  });
});

describe('when to ask next', () => {
  it('is half an hour after a good exchange', () => {
    expect(askAfterMs(EMPTY_BOOK)).toBe(OLD_AFTER_MS);
    expect(askAfterMs(noted(exchange(10, 900)))).toBe(OLD_AFTER_MS);
  });

  it('is sooner after a poor one, twice at most, and not any more when a good one came', () => {
    const slow = Array.from({ length: 5 }, (_, i) => exchange(10 + 5 * i, 4_000));
    const pace = slow.map((_, i) => askAfterMs(noted(...slow.slice(0, i + 1))) < OLD_AFTER_MS);
    expect(pace).toEqual([true, true, false, false, false]);
    expect(askAfterMs(noted(exchange(10, 4_000), exchange(15, 40)))).toBe(OLD_AFTER_MS);
  });

  it.each([
    [20, 600, true],
    [20, 200, false],
    [100, 640, false],
    [100, 660, true],
    [800, 1_001, true],
    [800, 999, false],
  ])('takes the best so far for its measure: %d ms, then %d ms', (best, next, poor) => {
    expect(askAfterMs(noted(exchange(10, best), exchange(40, next))) < OLD_AFTER_MS).toBe(poor);
  });
});
