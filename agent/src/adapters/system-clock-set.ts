import type { WallMs } from '@paddock/shared/time.ts';
import koffi from 'koffi';
import type { WallClock } from '../ports.ts';

/** The clock id of the wall clock (time.h). */
const CLOCK_REALTIME = 0;
const { EPERM } = koffi.os.errno;

export class WallClockError extends Error {
  override readonly name = 'WallClockError';
  readonly code: 'clock_set_refused' | 'clock_set_failed';
  constructor(code: WallClockError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Seconds and nanoseconds since 1970. @returns 0, or the errno */
export type SetTime = (clockId: number, timespec: BigInt64Array) => number;

/** The machine's wall clock through clock_settime(2), which takes CAP_SYS_TIME. The hardware clock is left alone. */
export function createWallClock(setTime: SetTime = setThroughLibc()): WallClock {
  return {
    set(to: WallMs) {
      const seconds = Math.floor(to / 1000);
      const errno = setTime(CLOCK_REALTIME, BigInt64Array.of(BigInt(seconds), BigInt((to - seconds * 1000) * 1e6)));
      if (errno === 0) return;
      if (errno === EPERM)
        throw new WallClockError(
          'clock_set_refused',
          'Setting the clock takes CAP_SYS_TIME (or clock.setSystemClock: false)',
        );
      throw new WallClockError('clock_set_failed', `clock_settime failed with errno ${errno}`);
    },
  };
}

function setThroughLibc(): SetTime {
  const settime = koffi.load(null).func('int clock_settime(int, void *)');
  return (clockId, timespec) => (settime(clockId, timespec) === 0 ? 0 : koffi.errno());
}
