import { createSegments, createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
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

describe('the segment', () => {
  /** A machine that was suspended for so long, with some delay before every other reading of a clock. */
  const machine = (suspendedMs: () => number) => {
    let now = 5_000;
    const delays = [0.002, 3, 0.001, 170, 0.004, 0.003];
    return (clockId: number): number => {
      now += delays[Math.floor(now * 1000) % delays.length] ?? 0;
      return clockId === 7 ? now + suspendedMs() : now;
    };
  };

  it('is 0 before the first suspend, and the same for every start of the agent between two suspends', () => {
    let suspended = 0;
    const read = machine(() => suspended);
    const first = createSegments(read);
    expect(first()).toBe(0);
    suspended = 60_020;
    const afterOne = first();
    expect(afterOne).toBeGreaterThan(0);
    expect(createSegments(read)()).toBe(afterOne);
    const second = createSegments(read);
    suspended += 1_000;
    const afterTwo = second();
    expect(afterTwo).toBeGreaterThan(afterOne);
    expect([first(), createSegments(read)()]).toEqual([afterTwo, afterTwo]);
  });

  it('does not take a delay for a suspend', () => {
    const segment = createSegments(machine(() => 0));
    expect(new Set(Array.from({ length: 500 }, segment))).toEqual(new Set([0]));
  });
});
