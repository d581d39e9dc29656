import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { LivedClock } from './clock.ts';
import { limitsIn } from './place.ts';
import { MAX_RATE_ERROR } from './region.ts';

/** What a wall clock says of a moment, when its neighbours prove it right. */
export interface Claim {
  readonly at: WallMs;
  /** How wrong such a clock was seen to be, with room. Evidence of a habit, and no proof. */
  readonly errorMs: number;
}

/** A clock that was wrong by more where it could be checked proves nothing where it cannot. */
const RIGHT_WITHIN_MS = 10_000;
/** What a real-time clock may lose while the machine is off, besides twice what was seen. */
const ROOM_MS = 2_000;

/**
 * Takes the wall clock of a boot that never exchanged at its word if it was not set in that boot and if it was right in
 * the nearest boots on both sides that did exchange: at the end of the one before, at the beginning of the one after.
 * @returns null when it cannot be believed
 */
export function claimOf(clocks: readonly LivedClock[], at: number, uptimeMs: number): Claim | null {
  const { wall } = clocks[at]?.record ?? { wall: null };
  if (wall === null || wall.steps > 0) return null;
  const before = clocks.slice(0, at).findLast(isExchanged);
  const after = clocks.slice(at + 1).find(isExchanged);
  const skews = [before && skewAtEnd(before), after && skewAtStart(after)].filter((skew) => typeof skew === 'number');
  const worst = Math.max(...skews);
  if (skews.length === 0 || worst > RIGHT_WITHIN_MS) return null;
  const driftMs = Math.abs(uptimeMs - wall.uptimeMs) * MAX_RATE_ERROR;
  return { at: wallMs(wall.offsetMs + uptimeMs), errorMs: 2 * worst + driftMs + ROOM_MS };
}

const isExchanged = ({ record }: LivedClock): boolean => record.era.region.lower.length > 0;

/** How wrong the wall clock was at most, in ms; null when it said nothing. */
const skewAtEnd = (clock: LivedClock): number | null => {
  const { wall } = clock.record;
  return wall && largestSkew(clock, wall.uptimeMs, wall.offsetMs);
};
const skewAtStart = (clock: LivedClock): number | null => {
  const { wall } = clock.record;
  return wall && largestSkew(clock, wall.firstUptimeMs, wall.firstOffsetMs);
};

function largestSkew(clock: LivedClock, uptimeMs: number, offsetMs: number): number | null {
  const { earliest, latest } = limitsIn(clock.record, uptimeMs, clock.closed);
  if (earliest === null || latest === null) return null;
  const claimed = offsetMs + uptimeMs;
  return Math.max(Math.abs(claimed - earliest), Math.abs(claimed - latest));
}
