import { longestGapMs } from '@paddock/agent/adapters/cron.ts';
import { describe, expect, it } from 'vitest';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('the longest silence of a schedule', () => {
  it.each([
    ['*/5 * * * *', 5 * MINUTE],
    ['0 * * * *', HOUR],
    ['0,10 * * * *', 50 * MINUTE],
    ['*/10 * * * * *', 10_000],
    ['*/5 9-17 * * *', 15 * HOUR + 5 * MINUTE],
  ])('of "%s" is %i ms', (cron, gapMs) => {
    expect(longestGapMs(cron)).toBe(gapMs);
  });

  it.each(['', 'every five minutes', '* * *', '61 * * * *'])('of %j is an error', (cron) => {
    expect(() => longestGapMs(cron)).toThrow(expect.objectContaining({ code: 'schedule_invalid' }) as Error);
  });
});
