import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { intervalOf, MAX_RATE_ERROR, tighten, type Anchor, type Arrival } from '@paddock/cloud/clock/bounds.ts';
import { wallMs } from '@paddock/shared/time.ts';

const arrival = (uptimeMs: number, receivedAt: number, segment = 0): Arrival => ({
  uptimeMs,
  segment,
  receivedAt: wallMs(receivedAt),
});

describe('a boot bounded by its arrivals', () => {
  it('places a lone report no later than it arrived, and says that nothing bounds it from below', () => {
    const report = arrival(5000, 1_000_000);
    expect(intervalOf(tighten(null, report, 50), report, 50)).toEqual({
      earliest: null,
      latest: 1_000_050,
      estimate: 1_000_050,
      basis: 'arrival',
    });
  });

  it('places a report that was buffered for an hour by a later one that came at once', () => {
    const prompt = arrival(7_200_000, 50_000_000);
    const buffered = arrival(3_600_000, 50_000_000);
    const anchor = tighten(tighten(null, prompt, 0), buffered, 0);
    const placed = intervalOf(anchor, buffered, 0);
    expect(placed.basis).toBe('extrapolated');
    expect(placed.latest).toBe(
      50_000_000 - 3_600_000 + 1 + Math.ceil((3_600_000 * MAX_RATE_ERROR) / (1 - MAX_RATE_ERROR)),
    );
  });

  it('keeps the tightest anchor', () => {
    const prompt = arrival(1000, 101_000);
    const slow = arrival(2000, 109_000);
    expect(tighten(tighten(null, prompt, 0), slow, 0)).toEqual({ uptimeMs: 1000, segment: 0, latest: 101_000 });
  });

  it('carries a bound backwards across a suspend, and never forwards', () => {
    const before = tighten(null, arrival(1000, 100_000, 0), 0);
    const after = arrival(2000, 900_000, 1);
    expect(intervalOf(before, after, 0)).toMatchObject({ latest: 900_000, basis: 'arrival' });
    const resumed = arrival(1000, 900_000, 1);
    expect(intervalOf(before, resumed, 0)).toMatchObject({ latest: 900_000, basis: 'arrival' });
    const anchoredAfter = tighten(null, after, 0);
    expect(intervalOf(anchoredAfter, arrival(1000, 950_000, 0), 0).latest).toBeLessThanOrEqual(899_002);
  });

  it('holds the truth whatever the crystal, the delays and the suspends are', () => {
    const world = fc.record({
      rate: fc.double({ min: -MAX_RATE_ERROR, max: MAX_RATE_ERROR, noNaN: true }),
      clockError: fc.integer({ min: -80, max: 80 }),
      reports: fc.array(
        fc.record({
          afterMs: fc.integer({ min: 0, max: 400_000_000 }),
          suspendedMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 90_000_000 })),
          delayMs: fc.integer({ min: 0, max: 90_000_000 }),
        }),
        { minLength: 1, maxLength: 40 },
      ),
    });
    fc.assert(
      fc.property(world, ({ rate, clockError, reports }) => {
        const boot = 1_700_000_000_000;
        let truth = boot;
        let uptime = 0;
        let segment = 0;
        const sent = reports.map(({ afterMs, suspendedMs, delayMs }) => {
          truth += afterMs + suspendedMs;
          uptime += afterMs * (1 + rate);
          if (suspendedMs > 0) segment += 1;
          return { truth, arrival: arrival(Math.floor(uptime), truth + delayMs + clockError, segment) };
        });
        let anchor: Anchor | null = null;
        for (const one of sent.toSorted((a, b) => a.arrival.receivedAt - b.arrival.receivedAt)) {
          anchor = tighten(anchor, one.arrival, 80);
          for (const { truth: when, arrival: report } of sent) {
            expect(intervalOf(anchor, report, 80).latest).toBeGreaterThanOrEqual(when);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
