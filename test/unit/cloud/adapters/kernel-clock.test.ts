import { expect, test } from 'vitest';
import { estimateOf, openKernelClock } from '@paddock/cloud/adapters/kernel-clock.ts';

const TIME_OK = 0;
const TIME_ERROR = 5;

/** What adjtimex(2) leaves in `struct timex`; the errors in microseconds. */
function timex({ maxError = 0, estimatedError = 0, status = 0 }): BigInt64Array {
  const words = new BigInt64Array(32);
  words.set([0n, 0n, 0n, BigInt(maxError), BigInt(estimatedError), BigInt(status)]);
  return words;
}

test('a clock that is synchronized has its errors, in ms', () => {
  const words = timex({ maxError: 31_250, estimatedError: 420, status: 0x2001 });
  expect(estimateOf(TIME_OK, words)).toEqual({ maxErrorMs: 31.25, estimatedErrorMs: 0.42 });
});

test('what lies beside the status in its word says nothing', () => {
  const words = timex({ maxError: 1_000, estimatedError: 1 });
  words[5] = (0x40n << 32n) | 0x2001n;
  expect(estimateOf(TIME_OK, words)).not.toBeNull();
});

test.each([
  ['is not synchronized', TIME_ERROR, 0x40],
  ['is not synchronized, whatever the state', TIME_OK, 0x40],
  ['has a fault of its source', TIME_ERROR, 0x1000],
  ['is in error', TIME_ERROR, 0],
])('a clock that %s has none', (_, state, status) => {
  expect(estimateOf(state, timex({ maxError: 1_000, estimatedError: 1, status }))).toBeNull();
});

test('this machine answers, one way or the other', () => {
  // The kernel calls a clock unsynchronized when its error reaches 16 s (NTP_PHASE_LIMIT).
  const maxErrorMs = openKernelClock().estimate()?.maxErrorMs ?? 0;
  expect(maxErrorMs).toBeGreaterThanOrEqual(0);
  expect(maxErrorMs).toBeLessThan(16_000);
});
