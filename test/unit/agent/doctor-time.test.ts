import { BUILT_AT } from '@paddock/agent/built-at.ts';
import type { ClockStatus } from '@paddock/agent/clock/clock-status.ts';
import { judgeTime, type TimeFacts } from '@paddock/agent/doctor-time.ts';
import { uptimeMs, wallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const NOON = wallMs(Date.UTC(2026, 10, 23, 12));
const status: ClockStatus = {
  bootId: 'boot',
  anchor: {
    segment: 0,
    lower: { at: uptimeMs(60_040), wall: NOON },
    upper: { at: uptimeMs(60_000), wall: NOON },
  },
  exchangedAt: uptimeMs(60_040),
  roundTripMs: 40,
};
/** Ten minutes after an exchange at noon. */
const facts = (change: Partial<TimeFacts> = {}): TimeFacts => ({
  now: { at: uptimeMs(660_040), segment: 0 },
  wall: wallMs(NOON + 600_000),
  bootId: 'boot',
  status,
  kept: null,
  ...change,
});

describe('the doctor on the time', () => {
  it('says what it is, how wrong that can be, and how old the last exchange is', () => {
    const finding = judgeTime(facts());
    expect(finding).toMatchObject({ check: 'clock', status: 'ok' });
    expect(finding.message).toMatch(
      /^It is 2026-11-23T12:10:00\.0\d\dZ ± 0\.1\d\d s; the last exchange was 600 s ago and took 0\.040 s\..*: right$/,
    );
  });

  it.each([
    ['ahead', 3_600_000, /: 3600 s ahead\./],
    ['behind', 0 - NOON, /: \d+ s behind\./],
  ])('says how far the wall clock is %s', (_what, skewMs, message) => {
    const finding = judgeTime(facts({ wall: wallMs(NOON + 600_000 + skewMs) }));
    expect(finding).toMatchObject({ status: 'warn', code: 'clock_wrong' });
    expect(finding.message).toMatch(message);
  });

  it.each([
    ['nothing was left', { status: null }, BUILT_AT],
    ['what was left is of another boot', { bootId: 'another' }, BUILT_AT],
    ['the machine was suspended since', { now: { at: uptimeMs(660_040), segment: 3 } }, NOON],
    ['a time was kept', { status: null, kept: NOON }, NOON],
    [
      'a wrong time was kept, and an exchange proved it',
      { kept: wallMs(2 * NOON), now: { at: uptimeMs(5), segment: 3 } },
      NOON,
    ],
  ])('knows a floor only when %s', (_what, change, floor) => {
    const finding = judgeTime(facts(change));
    expect(finding).toMatchObject({ status: 'ok', message: expect.stringMatching(/^No exchange since/) });
    const early = judgeTime(facts({ ...change, wall: wallMs(floor - 1) }));
    expect(early).toMatchObject({ status: 'warn', code: 'clock_not_set' });
    expect(early.message).toContain(new Date(floor).toISOString());
    expect(judgeTime(facts({ ...change, wall: floor })).status).toBe('ok');
  });
});
