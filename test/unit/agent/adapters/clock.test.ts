import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import type { Clock } from '@paddock/agent/ports.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';

interface Subject {
  readonly clock: Clock;
  /** Lets time pass, where it does not pass by itself. */
  readonly pass: (ms: number) => Promise<void>;
}

describe.each([
  [
    'of a test',
    (): Subject => {
      const clock = new FakeClock();
      return { clock, pass: (ms) => clock.advance(ms) };
    },
  ],
  ['of the machine', (): Subject => ({ clock: createSystemClock(), pass: async () => {} })],
])('the clock %s', (_name, make) => {
  it('counts whole milliseconds and never goes back', () => {
    const { clock } = make();
    const readings = Array.from({ length: 1_000 }, () => clock.monotonic());
    expect(readings.every(Number.isSafeInteger)).toBe(true);
    expect(readings.toSorted((a, b) => a - b)).toEqual(readings);
  });

  it('stays in one segment while nothing is suspended', () => {
    const { clock } = make();
    expect(clock.segment()).toBe(clock.segment());
  });

  it('sleeps at least as long as it was told', async () => {
    const { clock, pass } = make();
    const from = clock.monotonic();
    const sleeping = clock.sleep(20);
    await pass(20);
    await sleeping;
    // A timer counts on another clock and from a moment inside a millisecond.
    expect(clock.monotonic() - from).toBeGreaterThanOrEqual(18);
  });

  it('wakes at once when it is told to, before or during the sleep', async () => {
    const { clock } = make();
    const wake = new AbortController();
    const sleeping = clock.sleep(1e12, wake.signal);
    wake.abort();
    await sleeping;
    await clock.sleep(1e12, wake.signal);
    expect(wake.signal.aborted).toBe(true);
  });
});
