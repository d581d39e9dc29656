import type { Clock } from '../ports.ts';
import type { Brake } from './pack-reader.ts';

/** What was not used before is used at once, for so long. */
const BURST_MS = 1_000;

/** @param bytesPerSecond undefined: as fast as it goes */
export function createBrake(clock: Pick<Clock, 'monotonic' | 'sleep'>, bytesPerSecond: number | undefined): Brake {
  let dueAt = Number.NEGATIVE_INFINITY;
  return async (bytes, signal) => {
    signal.throwIfAborted();
    if (bytesPerSecond === undefined) return;
    const now = clock.monotonic();
    dueAt = Math.max(dueAt, now - BURST_MS) + (bytes * 1000) / bytesPerSecond;
    if (dueAt > now) await clock.sleep(dueAt - now, signal);
    signal.throwIfAborted();
  };
}
