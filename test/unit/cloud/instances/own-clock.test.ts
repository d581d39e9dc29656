import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { boundOf, OwnClock, stepBetween } from '@paddock/cloud/instances/own-clock.ts';
import type { KernelEstimate } from '@paddock/cloud/ports.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

const SECOND = 1_000;
const MINUTE = 60_000;

function ownClock(estimate: KernelEstimate | null, configuredMs = 100) {
  const clock = new CloudClock(Date.UTC(2026, 10, 23));
  const kernel = { now: estimate, asked: 0 };
  const steps: number[] = [];
  const own = new OwnClock({
    clock,
    kernel: { estimate: () => ((kernel.asked += 1), kernel.now) },
    configuredMs,
    onStep: (stepMs) => steps.push(stepMs),
  });
  return { clock, kernel, steps, own };
}

describe('the bound of a clock', () => {
  test('is the kernel’s, with the rounding of stamps, larger or smaller than the configured one', () => {
    expect(boundOf({ maxErrorMs: 3.2, estimatedErrorMs: 0.01 }, 100)).toEqual({ errorMs: 5, source: 'kernel' });
    expect(boundOf({ maxErrorMs: 900, estimatedErrorMs: 20 }, 100)).toEqual({ errorMs: 901, source: 'kernel' });
  });

  test('is the configured one without a kernel that knows, or with a daemon that never said', () => {
    expect(boundOf(null, 100)).toEqual({ errorMs: 100, source: 'configured' });
    expect(boundOf({ maxErrorMs: 0.5, estimatedErrorMs: 0 }, 100)).toEqual({ errorMs: 100, source: 'configured' });
  });

  test('is read anew every other second, and not with every message', () => {
    const { clock, kernel, own } = ownClock({ maxErrorMs: 3, estimatedErrorMs: 1 });
    for (let n = 0; n < 100; n += 1) expect(own.errorMs()).toBe(4);
    expect(kernel.asked).toBe(1);
    kernel.now = { maxErrorMs: 8, estimatedErrorMs: 1 };
    clock.advance(2 * SECOND);
    expect([own.errorMs(), own.source]).toEqual([9, 'kernel']);
    kernel.now = null;
    clock.advance(2 * SECOND);
    expect([own.errorMs(), own.source]).toEqual([100, 'configured']);
  });
});

describe('a clock that is set', () => {
  test('by more than it claimed is noticed, and wrong by the step until things are settled', () => {
    const { clock, steps, own } = ownClock(null);
    clock.advance(5 * SECOND);
    clock.setWall(clock.wall() + 700);
    // A stamp is whole milliseconds: of a step a millisecond on either side may be rounding.
    expect(own.errorMs()).toBeGreaterThanOrEqual(798);
    expect(steps).toHaveLength(1);
    clock.advance(9 * MINUTE);
    expect(own.errorMs()).toBeGreaterThanOrEqual(798);
    clock.advance(1 * MINUTE);
    expect(own.errorMs()).toBe(100);
    expect([steps.length, own.steps]).toEqual([1, 1]);
  });

  test('back, and forth again, is wrong by both', () => {
    const { clock, steps, own } = ownClock(null);
    clock.setWall(clock.wall() - 5_000);
    own.errorMs();
    clock.setWall(clock.wall() + 5_000);
    expect(own.errorMs()).toBeGreaterThanOrEqual(10_096);
    expect(steps.map(Math.sign)).toEqual([-1, 1]);
  });

  test('is believed again as soon as the kernel says anew how wrong it is', () => {
    const { clock, kernel, own } = ownClock({ maxErrorMs: 3, estimatedErrorMs: 1 });
    clock.setWall(clock.wall() - 3_600_000);
    kernel.now = null;
    expect(own.errorMs()).toBeGreaterThanOrEqual(3_600_000 + 98);
    kernel.now = { maxErrorMs: 20, estimatedErrorMs: 5 };
    clock.advance(2 * SECOND);
    expect([own.errorMs(), own.source]).toEqual([21, 'kernel']);
  });

  test('by less than it claims to be wrong is nothing, until such steps add up to more', () => {
    const { clock, steps, own } = ownClock(null);
    for (let n = 0; n < 3; n += 1) {
      clock.setWall(clock.wall() + 40);
      expect(own.errorMs()).toBe(n < 2 ? 100 : 219);
    }
    expect(steps).toEqual([119]);
  });

  test('is told apart from a long pause between two looks at the clocks', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 5_000 }), (pause, rest) => {
        // Both clocks go on through a pause: what was seen before lies within what is seen after it.
        const before = { lowMs: 1_000 - 1, highMs: 1_000 };
        const after = { lowMs: 1_000 - 1 - pause, highMs: 1_000 + rest };
        expect(stepBetween(before, after)).toBe(0);
      }),
    );
  });
});
