import { longestGapMs } from '@paddock/agent/adapters/cron.ts';
import { agentSettings, NO_FIRMWARE } from '@paddock/agent/desired/agent-settings.ts';
import { describe, expect, it, test } from 'vitest';

function controlled() {
  const set: { schedule: unknown; logLevel: unknown } = { schedule: undefined, logLevel: undefined };
  const handler = agentSettings({
    setSchedule: (schedule) => void (set.schedule = schedule),
    setLogLevel: (level) => void (set.logLevel = level),
    gapMs: longestGapMs,
  });
  return { set, handler };
}

describe('the key agent', () => {
  it('wins over the agent’s file, and leaves it to itself when it is gone', async () => {
    const { set, handler } = controlled();
    expect(await handler.apply({ schedule: '*/10 * * * * *', logLevel: 'debug' })).toBe(null);
    expect(set).toEqual({ schedule: { cron: '*/10 * * * * *', gapMs: 10_000 }, logLevel: 'debug' });
    expect(await handler.apply({ logLevel: 'warn' })).toBe(null);
    expect(set).toEqual({ schedule: null, logLevel: 'warn' });
    expect(await handler.apply(undefined)).toBe(null);
    expect(set).toEqual({ schedule: null, logLevel: null });
  });

  test.each<[code: string, value: unknown]>([
    ['desired_value_invalid', null],
    ['desired_value_invalid', 'debug'],
    ['desired_value_invalid', { logLevel: 'loud' }],
    ['desired_value_invalid', { schedule: '* * * * *', pace: 1 }],
    ['schedule_invalid', { schedule: 'every now and then', logLevel: 'debug' }],
    ['schedule_invalid', { schedule: '0 0 30 2 *' }],
  ])('is %s when it holds %j, and the file’s schedule holds', async (code, value) => {
    const { set, handler } = controlled();
    await handler.apply({ schedule: '*/10 * * * * *' });
    expect(await handler.apply(value)).toMatchObject({ code });
    expect(set.schedule).toBe(null);
  });
});

test('the key firmware cannot be applied where nothing is installed', async () => {
  expect(await NO_FIRMWARE.apply({ name: 'kiosk' })).toEqual({ code: 'firmware_not_configured' });
  expect(await NO_FIRMWARE.apply(undefined)).toBe(null);
});
