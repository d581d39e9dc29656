import type { WallMs } from '@paddock/shared/time.ts';

/** Whether this instance hears devices, and since when without a gap. */
export interface Listening {
  readonly since: WallMs | null;
  /** When this was last known to hold. */
  readonly checkedAt: WallMs | null;
}

export const DEAF: Listening = { since: null, checkedAt: null };

/**
 * One more look at whether the broker reaches us. A look that comes too late, because the machine slept,
 * the clock jumped or the database stood still, is a gap: nobody knows what was missed.
 * @param maxGapMs the longest pause between two looks that counts as listening
 */
export function listen(before: Listening, reachable: boolean, now: WallMs, maxGapMs: number): Listening {
  if (!reachable) return DEAF;
  const unbroken = before.since !== null && before.checkedAt !== null && isWithin(now - before.checkedAt, maxGapMs);
  return { since: unbroken ? before.since : now, checkedAt: now };
}

const isWithin = (gapMs: number, maxGapMs: number): boolean => gapMs >= 0 && gapMs <= maxGapMs;
