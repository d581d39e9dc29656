import { wallMs, type Basis, type TimeInterval } from '@paddock/shared/time.ts';
import type { ClockRecord } from './clock.ts';
import { confirmedUptimeMs, timesAt, type ClosedEra, type Era } from './era.ts';
import { STEP_MS } from './evidence.ts';

/** Where a moment lies between; null where nothing bounds it. */
export interface Limits {
  readonly earliest: number | null;
  readonly latest: number | null;
}

export const UNLIMITED: Limits = { earliest: null, latest: null };

/** An exchange this near makes a moment `exchanged`: the longest pause between two of them when all is well. */
const NEAR_MS = 30 * 60_000;

/**
 * What one clock says of a moment, by what it knows now and by what was put away for history. Where two regimes could
 * hold, the moment lies within either.
 */
export function limitsIn(clock: ClockRecord, uptimeMs: number, closed: readonly ClosedEra[] = []): Limits {
  const history = closed.filter((era) => era.fromUptimeMs <= uptimeMs && uptimeMs <= era.toUptimeMs);
  return history.map((era) => at(era, uptimeMs)).reduce(meet, liveLimits(clock, uptimeMs));
}

function liveLimits({ era, before, doubt }: ClockRecord, uptimeMs: number): Limits {
  if (doubt !== null && uptimeMs > confirmedUptimeMs(era) && isContested(doubt.era, uptimeMs))
    return join(at(era, uptimeMs), at(doubt.era, uptimeMs));
  if (uptimeMs >= era.fromUptimeMs || before === null) return at(era, uptimeMs);
  if (uptimeMs <= confirmedUptimeMs(before)) return at(before, uptimeMs);
  return join(at(before, uptimeMs), at(era, uptimeMs));
}

/** With an exchange behind it a doubt may have been true for a while; without one it speaks of what came after it only. */
const isContested = (doubt: Era, uptimeMs: number): boolean =>
  doubt.region.lower.length > 0 || uptimeMs >= doubt.fromUptimeMs;

const at = (era: Era | ClosedEra, uptimeMs: number): Limits => timesAt(era, uptimeMs, STEP_MS);

/** Both hold. Where they contradict each other, the moment lies within either. */
export const meet = (a: Limits, b: Limits): Limits => both(a, b) ?? join(a, b);

/** Both hold; null when they contradict each other. */
export function both(a: Limits, b: Limits): Limits | null {
  const earliest = a.earliest === null ? b.earliest : Math.max(a.earliest, b.earliest ?? -Infinity);
  const latest = a.latest === null ? b.latest : Math.min(a.latest, b.latest ?? Infinity);
  return earliest !== null && latest !== null && earliest > latest ? null : { earliest, latest };
}

/** One of them holds. */
function join(a: Limits, b: Limits): Limits {
  return {
    earliest: a.earliest === null || b.earliest === null ? null : Math.min(a.earliest, b.earliest),
    latest: a.latest === null || b.latest === null ? null : Math.max(a.latest, b.latest),
  };
}

/** Whether an exchange of this clock lies near a moment. */
export const isExchanged = (
  { era, before }: ClockRecord,
  uptimeMs: number,
  closed: readonly ClosedEra[] = [],
): boolean =>
  isNear(era, uptimeMs) ||
  (before !== null && isNear(before, uptimeMs)) ||
  closed.some(
    (put) => put.fromUptimeMs - NEAR_MS <= uptimeMs && uptimeMs <= put.toUptimeMs + NEAR_MS && isNear(put, uptimeMs),
  );

const isNear = ({ region }: Era | ClosedEra, uptimeMs: number): boolean =>
  region.lower.some((bound) => Math.abs(bound.uptimeMs - uptimeMs) <= NEAR_MS);

/** The estimate is the middle, which is wrong by half the width at most. */
export function intervalOf({ earliest, latest }: Limits & { latest: number }, basis: Basis): TimeInterval {
  const estimate = earliest === null ? latest : (earliest + latest) / 2;
  return {
    earliest: earliest === null ? null : wallMs(earliest),
    latest: wallMs(latest),
    estimate: wallMs(estimate),
    basis,
  };
}
