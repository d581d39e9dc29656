import { randomInt } from 'node:crypto';
import type { Clock } from '../ports.ts';
import { codeOf } from './errors.ts';

const THROTTLED = { firstMs: 200, longestMs: 3_000, tries: 5 } as const;
const FAILED = { firstMs: 5_000, longestMs: 600_000 } as const;

/** Full jitter: anything up to a bound that doubles, so that those who were refused together do not come together. */
const pauseMs = (failures: number, { firstMs, longestMs }: { firstMs: number; longestMs: number }): number =>
  randomInt(Math.min(longestMs, firstMs * 2 ** Math.min(failures, 20))) + 1;

/** How long cleaning up a device waits after so many failures in a row. */
export const retryAfterMs = (failures: number): number => Math.floor(FAILED.firstMs / 2) + pauseMs(failures, FAILED);

/** A call that must not be repeated for any other reason is, when it was throttled: then nothing was done. */
export async function unlessThrottled<T>(clock: Clock, call: () => Promise<T>): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await call();
    } catch (error) {
      if (codeOf(error) !== 'aws_throttled' || failures + 1 >= THROTTLED.tries) throw error;
      await clock.sleep(pauseMs(failures, THROTTLED));
    }
  }
}
