import { reconnectDelayMs } from '@paddock/agent/adapters/mqtt-delay.ts';
import { describe, expect, it } from 'vitest';

describe('the delay before the next connection', () => {
  it('doubles its bound with every failure, up to a minute', () => {
    const bounds = [0, 1, 2, 3, 6, 7, 20, 1_000].map((failures) => reconnectDelayMs(failures, 1));
    expect(bounds).toEqual([500, 1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it('lies anywhere below that, and never at nothing', () => {
    expect(reconnectDelayMs(10, 0)).toBe(50);
    expect(reconnectDelayMs(10, 0.5)).toBe(30_025);
  });
});
