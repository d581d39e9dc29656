import { wallMs, type TimeInterval } from '@paddock/shared/time.ts';
import { MAX_RATE_ERROR } from './region.ts';
import { STEP_MS } from './evidence.ts';
import type { DeviceLife, Moment } from './life.ts';

/**
 * Places a change whose uptime is a report's less how long ago it was. That is a difference of two uptimes, rounded
 * down to whole ms, and the report's uptime is rounded down for itself: the change can have been up to a ms earlier.
 */
export function placeChange(life: DeviceLife, change: Moment): TimeInterval {
  const { earliest, ...rest } = life.place(change);
  return { ...rest, earliest: earliest === null ? null : wallMs(earliest - STEP_MS * (1 + MAX_RATE_ERROR)) };
}
