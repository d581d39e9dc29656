import { expect, test } from 'vitest';
import { observe, type ClockRecord } from '@paddock/cloud/clock/clock.ts';
import { clockView, rateView } from '@paddock/cloud/devices/clock-view.ts';
import { wallMs, type TimeInterval } from '@paddock/shared/time.ts';

const BEGAN = 1_795_464_000_000;
const HOUR = 3_600_000;

/** A clock that runs fast by so many ppm, with an exchange of 20 ms every hour. */
function clockOf(ppm: number, hours: number): ClockRecord {
  let clock: ClockRecord | null = null;
  const at = (uptimeMs: number) => wallMs(Math.floor(BEGAN + uptimeMs * (1 - ppm * 1e-6)));
  for (let hour = 1; hour <= hours; hour += 1) {
    const sent = hour * HOUR;
    const exchange = {
      requestUptimeMs: sent,
      cloudReceivedAt: at(sent + 10),
      cloudSentAt: at(sent + 10),
      responseUptimeMs: sent + 20,
      cloudErrorMs: 0,
    };
    const evidence = {
      uptimeMs: sent + 50,
      receivedAt: at(sent + 60),
      wallMs: null,
      exchanges: [exchange],
      cloudErrorMs: 0,
    };
    clock = observe(clock, evidence).clock;
  }
  if (clock === null) throw new Error('No hour has passed');
  return clock;
}

const placed = (basis: TimeInterval['basis'], earliest: number | null, latest: number): TimeInterval => ({
  earliest: earliest === null ? null : wallMs(earliest),
  latest: wallMs(latest),
  estimate: wallMs(earliest === null ? latest : (earliest + latest) / 2),
  basis,
});

test.each([-80, 0, 35])('a drift of %i ppm lies within what is shown, once exchanges have taught it', (ppm) => {
  const { driftPpm } = rateView(clockOf(ppm, 48), []);
  expect(driftPpm?.lowest).toBeLessThanOrEqual(ppm);
  expect(driftPpm?.highest).toBeGreaterThanOrEqual(ppm);
  expect((driftPpm?.highest ?? Infinity) - (driftPpm?.lowest ?? 0)).toBeLessThan(45);
  expect(rateView(clockOf(ppm, 1), []).driftPpm).toBeNull();
});

test('the skew of a wall clock is told with its error, and not by a report that the clock itself placed', () => {
  const clock = clockOf(0, 2);
  const report = { wallMs: BEGAN + 5_000, uptimeMs: 2 * HOUR };
  expect(clockView(clock, [], report, placed('exchanged', BEGAN - 30, BEGAN + 30))).toMatchObject({
    skewMs: 5_000,
    skewErrorMs: 31,
  });
  const bounded = clockView(clock, [], report, placed('arrival', null, BEGAN));
  expect([bounded.skewMs, bounded.skewErrorMs]).toEqual([5_000, null]);
  expect(clockView(clock, [], report, placed('device-clock', BEGAN, BEGAN + 2)).skewMs).toBeNull();
  expect(clockView(clock, [], { uptimeMs: 1 }, placed('exchanged', BEGAN, BEGAN)).skewMs).toBeNull();
});

test('the age of the newest exchange and what was noticed are shown', () => {
  const view = clockView(
    clockOf(0, 2),
    ['wall_wrong_at_boot'],
    { uptimeMs: 2 * HOUR + 60_021 },
    placed('exchanged', BEGAN, BEGAN),
  );
  expect(view).toMatchObject({ wrongAtBoot: true, unsteady: false, lastExchangeAgeMs: 60_000 });
  expect(view.faults).toEqual([{ code: 'wall_wrong_at_boot', title: expect.stringContaining('battery') }]);
});
