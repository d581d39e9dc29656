import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resendPerSecond } from '@paddock/cloud/ingest/pacing.ts';

describe('the pace of what is sent again', () => {
  it.each([
    [0, 20],
    [0.25, 20],
    [0.5, 2],
    [0.7, 0.3],
    [0.75, 0.2],
    [1, 0.2],
  ])('with the queue at %d: %d a second', (fullness, pace) => {
    expect(resendPerSecond(fullness)).toBe(pace);
  });

  it('never grows as the queue does, and is always one that an answer may carry', () => {
    const fullness = fc.double({ min: 0, max: 2, noNaN: true });
    fc.assert(
      fc.property(fullness, fullness, (a, b) => {
        expect(resendPerSecond(Math.min(a, b))).toBeGreaterThanOrEqual(resendPerSecond(Math.max(a, b)));
        expect(resendPerSecond(a)).toBeGreaterThanOrEqual(0.1);
      }),
    );
  });
});
