import { describe, expect, test } from 'vitest';
import { wallMs } from '@paddock/shared/time.ts';
import { ErrorHistory } from '@paddock/cloud/instances/error-history.ts';
import { OwnClock } from '@paddock/cloud/instances/own-clock.ts';
import type { KernelEstimate } from '@paddock/cloud/ports.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

const SECOND = 1_000;
const MINUTE = 60_000;
const DAY = 86_400_000;
const BEGAN = Date.UTC(2026, 10, 24);
const CONFIGURED_MS = 100;

function history(estimate: KernelEstimate | null) {
  const clock = new CloudClock(BEGAN);
  const kernel = { now: estimate };
  const fleet = { errorMs: 0 };
  const onStep = (): void => undefined;
  const ownClock = new OwnClock({
    clock,
    kernel: { estimate: () => kernel.now },
    configuredMs: CONFIGURED_MS,
    onStep,
  });
  const errors = new ErrorHistory({
    clock,
    ownClock,
    fleetErrorMs: () => fleet.errorMs,
    configuredMs: CONFIGURED_MS,
  });
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= SECOND) {
      clock.advance(Math.min(left, SECOND));
      errors.now();
    }
  };
  return { clock, kernel, fleet, errors, pass, ago: (ms: number) => errors.at(wallMs(clock.wall() - ms)) };
}

describe('how wrong a stamp can be', () => {
  test('is what the clock was worth when it was made, not what it is worth now', () => {
    const { kernel, pass, ago } = history({ maxErrorMs: 400, estimatedErrorMs: 1 });
    pass(5 * MINUTE);
    kernel.now = { maxErrorMs: 4, estimatedErrorMs: 1 };
    pass(5 * MINUTE);
    expect([ago(8 * MINUTE), ago(SECOND)]).toEqual([401, 5]);
    kernel.now = { maxErrorMs: 90, estimatedErrorMs: 1 };
    pass(5 * MINUTE);
    expect([ago(13 * MINUTE), ago(7 * MINUTE), ago(SECOND)]).toEqual([401, 5, 91]);
  });

  test('covers the other instances: any of them may have stamped it', () => {
    const { fleet, pass, ago } = history({ maxErrorMs: 4, estimatedErrorMs: 1 });
    fleet.errorMs = 70;
    pass(5 * MINUTE);
    fleet.errorMs = 0;
    pass(5 * MINUTE);
    expect([ago(8 * MINUTE), ago(SECOND)]).toEqual([70, 5]);
    // By a clock that is ahead.
    expect(ago(-2 * SECOND)).toBe(5);
  });

  test('is the configured bound, or the worst that was seen, where nothing is known', () => {
    const { kernel, pass, ago } = history({ maxErrorMs: 4, estimatedErrorMs: 1 });
    expect(ago(DAY)).toBe(CONFIGURED_MS);
    kernel.now = { maxErrorMs: 300, estimatedErrorMs: 1 };
    pass(MINUTE);
    kernel.now = { maxErrorMs: 4, estimatedErrorMs: 1 };
    pass(5 * MINUTE);
    expect([ago(DAY), ago(-DAY), ago(SECOND)]).toEqual([301, 301, 5]);
  });

  test('grows by every step of the clock: nobody knows since when it was wrong', () => {
    const { clock, kernel, pass, ago } = history({ maxErrorMs: 4, estimatedErrorMs: 1 });
    pass(10 * MINUTE);
    clock.setWall(clock.wall() + 2_500);
    expect(ago(5 * MINUTE)).toBeGreaterThanOrEqual(2_500);
    expect(ago(DAY)).toBeGreaterThanOrEqual(2_600 - 2);
    kernel.now = { maxErrorMs: 6, estimatedErrorMs: 1 };
    pass(5 * MINUTE);
    expect(ago(SECOND)).toBe(7);
    expect(ago(10 * MINUTE)).toBeGreaterThanOrEqual(2_500);
  });

  test('is forgotten after two days, and bounded in memory', () => {
    const { kernel, clock, errors, ago } = history({ maxErrorMs: 4, estimatedErrorMs: 1 });
    for (let minute = 0; minute < 3 * 24 * 60; minute += 1) {
      clock.advance(MINUTE);
      errors.now();
    }
    kernel.now = null;
    expect([ago(DAY), ago(2.5 * DAY)]).toEqual([5, CONFIGURED_MS]);
  });
});
