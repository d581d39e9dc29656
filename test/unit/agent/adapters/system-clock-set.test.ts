import { createWallClock } from '@paddock/agent/adapters/system-clock-set.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const EPERM = 1;
const EINVAL = 22;

/** What the kernel was asked for. The clock of this machine is never touched. */
function kernel(errno: number) {
  const asked: { clockId: number; timespec: bigint[] }[] = [];
  const wallClock = createWallClock((clockId, timespec) => {
    asked.push({ clockId, timespec: [...timespec] });
    return errno;
  });
  return { asked, wallClock };
}

describe('setting the wall clock', () => {
  it.each([
    [Date.UTC(2026, 10, 23, 12, 0, 0, 123), [1_795_435_200n, 123_000_000n]],
    [0, [0n, 0n]],
    [-1, [-1n, 999_000_000n]],
  ])('tells the kernel seconds and nanoseconds of CLOCK_REALTIME: %d', (to, timespec) => {
    const { asked, wallClock } = kernel(0);
    wallClock.set(wallMs(to));
    expect(asked).toEqual([{ clockId: 0, timespec }]);
  });

  it.each([
    [EPERM, 'clock_set_refused', /CAP_SYS_TIME/],
    [EINVAL, 'clock_set_failed', /errno 22/],
  ])('has a code when the kernel refuses with %d', (errno, code, message) => {
    const { wallClock } = kernel(errno);
    expect(() => wallClock.set(wallMs(0))).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
