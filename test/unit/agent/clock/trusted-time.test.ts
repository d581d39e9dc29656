import { exchangeOf, MAX_RATE_ERROR, type Moment } from '@paddock/agent/clock/exchange.ts';
import { middleOf, skewOf, stepTo } from '@paddock/agent/clock/skew.ts';
import {
  isKnown,
  learn,
  trustedAt,
  untrusted,
  type KnownInterval,
  type TrustedTime,
} from '@paddock/agent/clock/trusted-time.ts';
import type { Exchange } from '@paddock/shared/report.ts';
import { toInstant, uptimeMs, wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const BUILT = wallMs(Date.UTC(2026, 10, 1));
const NOON = Date.UTC(2026, 10, 23, 12);
const moment = (at: number, segment = 0): Moment => ({ at: uptimeMs(at), segment });

/** An exchange that took so long there, in the cloud, and back. */
function exchangeAt(uptime: number, truth: number, [there, held, back] = [20, 5, 20]): Exchange {
  return {
    requestUptimeMs: uptime,
    receivedAt: toInstant(wallMs(truth + there)),
    sentAt: toInstant(wallMs(truth + there + held)),
    responseUptimeMs: uptime + there + held + back,
  };
}
const known = (time: TrustedTime, at: Moment): KnownInterval => {
  const interval = trustedAt(time, at);
  if (!isKnown(interval)) throw new Error('no upper bound');
  return interval;
};

describe('trusted time before the first exchange', () => {
  it('is no earlier than the build and what was kept, and has no upper bound', () => {
    expect(trustedAt(untrusted(BUILT, null), moment(5))).toEqual({ earliest: BUILT, latest: null });
    expect(trustedAt(untrusted(BUILT, wallMs(5)), moment(5))).toEqual({ earliest: BUILT, latest: null });
    expect(trustedAt(untrusted(BUILT, wallMs(NOON)), moment(5))).toEqual({ earliest: NOON, latest: null });
  });
});

describe('an exchange', () => {
  it.each([
    ['a floor decades in the future', Date.UTC(2060, 0, 1), NOON],
    ['a floor in the past', Date.UTC(2026, 10, 2), NOON],
    ['a build in the future', Date.UTC(2026, 0, 1), Date.UTC(2026, 5, 1)],
  ])('replaces %s', (_what, kept, truth) => {
    const { time, contradicted } = learn(untrusted(BUILT, wallMs(kept)), 0, exchangeAt(1_000, truth));
    expect(contradicted).toBe(false);
    // One step each for what is rounded down, and 200 ppm of the spans.
    expect(known(time, moment(1_045))).toEqual({ earliest: truth + 25 - 2, latest: truth + 20 + 45 + 3 });
  });

  it('is carried at 200 ppm, in both directions', () => {
    const { time } = learn(untrusted(BUILT, null), 0, exchangeAt(1e9, NOON));
    const widthAt = (at: number): number => {
      const { earliest, latest } = known(time, moment(at));
      return latest - earliest;
    };
    const atOnce = widthAt(1e9);
    for (const hours of [1, 24, -1, -24]) {
      const drift = Math.abs(hours) * 3_600_000 * 2 * MAX_RATE_ERROR;
      expect(Math.abs(widthAt(1e9 + hours * 3_600_000) - atOnce - drift)).toBeLessThan(3);
    }
  });

  it('is not worsened by a worse one', () => {
    const { time } = learn(untrusted(BUILT, null), 0, exchangeAt(1_000, NOON));
    const { time: after, contradicted } = learn(time, 0, exchangeAt(61_000, NOON + 60_000, [9_000, 5, 9_000]));
    expect(contradicted).toBe(false);
    const { earliest, latest } = known(after, moment(80_000));
    expect(latest - earliest).toBeLessThan(90);
  });

  it('that contradicts the ones before it is believed alone, and says so', () => {
    for (const stepMs of [-3_600_000, 3_600_000, 9 * 365 * 86_400_000]) {
      const { time } = learn(untrusted(BUILT, null), 0, exchangeAt(1_000, NOON));
      const { time: after, contradicted } = learn(time, 0, exchangeAt(61_000, NOON + 60_000 + stepMs));
      expect(contradicted).toBe(true);
      const { earliest, latest } = known(after, moment(61_000));
      expect(earliest).toBeLessThanOrEqual(NOON + 60_000 + stepMs);
      expect(latest).toBeGreaterThanOrEqual(NOON + 60_000 + stepMs);
    }
  });

  it('bounds nothing from above after a suspend, and is a floor there', () => {
    const future = untrusted(BUILT, wallMs(Date.UTC(2060, 0, 1)));
    const { time } = learn(future, 0, exchangeAt(1_000, NOON));
    expect(trustedAt(time, moment(9_000, 7))).toEqual({ earliest: NOON + 25, latest: null });
    const { time: after, contradicted } = learn(time, 7, exchangeAt(9_000, NOON + 86_400_000));
    expect(contradicted).toBe(false);
    expect(known(after, moment(9_000, 7)).earliest).toBeGreaterThan(NOON + 86_000_000);
  });
});

describe('true time', () => {
  const delay = fc.oneof(fc.double({ min: 0, max: 5, noNaN: true }), fc.double({ min: 0, max: 1e5, noNaN: true }));
  const Trip = fc.record({
    pauseMs: fc.double({ min: 0, max: 1e8, noNaN: true }),
    there: delay,
    held: delay,
    back: delay,
  });
  /** Of each stretch of ten minutes, how fast the crystal was. */
  const Rates = fc.array(fc.double({ min: -MAX_RATE_ERROR, max: MAX_RATE_ERROR, noNaN: true }), {
    minLength: 1,
    maxLength: 12,
  });

  it('is inside, with any crystal within 200 ppm, any delays and any floor', () => {
    fc.assert(
      fc.property(Rates, fc.array(Trip, { minLength: 1, maxLength: 8 }), fc.nat(4e12), (rates, trips, kept) => {
        const uptimeAt = uptimeOf(rates);
        let time = untrusted(BUILT, wallMs(kept));
        let t = 5_000;
        const looks: number[] = [];
        for (const { pauseMs, there, held, back } of trips) {
          t += pauseMs;
          const received = NOON + t + there;
          const made = exchangeOf(
            moment(Math.floor(uptimeAt(t))),
            {
              receivedAt: toInstant(wallMs(Math.floor(received))),
              sentAt: toInstant(wallMs(Math.floor(received + held))),
            },
            moment(Math.floor(uptimeAt(t + there + held + back))),
          );
          t += there + held + back;
          if (!('exchange' in made)) throw new Error(made.fault);
          const learned = learn(time, 0, made.exchange);
          expect(learned.contradicted).toBe(false);
          time = learned.time;
          looks.push(t);
          for (const look of [...looks, 0, t / 2, t + 1, t + 1e7]) {
            const { earliest, latest } = known(time, moment(Math.floor(uptimeAt(look))));
            expect(earliest).toBeLessThanOrEqual(NOON + look);
            expect(latest).toBeGreaterThanOrEqual(NOON + look);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is not inside for ever with a crystal that is worse: the bound is no wider than it has to be', () => {
    const { time } = learn(untrusted(BUILT, null), 0, exchangeAt(0, NOON, [0, 0, 0]));
    const uptime = 1e9 * (1 + 1.1 * MAX_RATE_ERROR);
    expect(known(time, moment(uptime)).earliest).toBeGreaterThan(NOON + 1e9);
  });
});

/** The uptime at a true time, in ms since the boot. */
const uptimeOf =
  (rates: readonly number[]) =>
  (t: number): number => {
    const STRETCH = 600_000;
    const whole = rates.reduce((sum, rate) => sum + STRETCH * (1 + rate), 0);
    const rounds = Math.floor(t / (STRETCH * rates.length));
    let left = t - rounds * STRETCH * rates.length;
    return rates.reduce((uptime, rate) => {
      const part = Math.min(STRETCH, left);
      left -= part;
      return uptime + part * (1 + rate);
    }, rounds * whole);
  };

describe('a wall clock', () => {
  const interval: KnownInterval = { earliest: wallMs(NOON - 50), latest: wallMs(NOON + 50) };

  it('has a skew as far as it is outside of what may be true', () => {
    expect([-1_050, -50, 0, 50, 1_050].map((ms) => skewOf(wallMs(NOON + ms), interval))).toEqual([
      -1_000, 0, 0, 0, 1_000,
    ]);
    expect(middleOf(interval)).toEqual({ at: NOON, errorMs: 50 });
  });

  it('is set only when it is certainly wrong by more than the threshold', () => {
    expect(stepTo(wallMs(NOON + 1_050), interval, 1_000)).toBeNull();
    expect(stepTo(wallMs(NOON + 1_051), interval, 1_000)).toBe(NOON);
    expect(stepTo(wallMs(0), interval, 1_000)).toBe(NOON);
    expect(stepTo(wallMs(Date.UTC(2035, 0, 1)), interval, 1_000)).toBe(NOON);
  });
});
