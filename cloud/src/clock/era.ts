import type { Bounds } from './evidence.ts';
import { EMPTY_REGION, learn, offsetAt, withBounds, type Bound, type Region } from './region.ts';

/** A stretch of one clock in which nothing contradicts anything: its uptimes keep one region. */
export interface Era {
  /** From here on it is believed. */
  readonly fromUptimeMs: number;
  /** Up to here its bounds were put away; before the first time it is the same. */
  readonly closedToMs: number;
  readonly region: Region;
}

/** Bounds of an era that history still needs, over the uptimes that they bound best. Never changed once made. */
export interface ClosedEra {
  readonly fromUptimeMs: number;
  readonly toUptimeMs: number;
  readonly region: Region;
}

/** Bounds on each side that are kept at hand: those of hours to a day, since only the tightest are kept at all. */
const MOST_BOUNDS = 16;
/** A longer baseline than this learns nothing more about the rate, which ages and follows the seasons. */
const BASELINE_MS = 3 * 86_400_000;

export const newEra = (fromUptimeMs: number): Era => ({
  fromUptimeMs,
  closedToMs: fromUptimeMs,
  region: EMPTY_REGION,
});

/** @returns null when the bounds contradict the era */
export function extended(era: Era, bounds: Bounds): Era | null {
  const region = withBounds(era.region, bounds);
  return region && (region === era.region ? era : { ...era, region });
}

/** The newest uptime that is bounded from below: up to here the era is confirmed. */
export const confirmedUptimeMs = ({ region, fromUptimeMs }: Pick<Era, 'region' | 'fromUptimeMs'>): number =>
  region.lower.reduce((newest, { uptimeMs }) => Math.max(newest, uptimeMs), fromUptimeMs);

/**
 * Moves the older half of the bounds of a side that has too many out of the era. What is put away is for every uptime
 * since the last time, the first moments of the era included, and reaches as far as it is confirmed: where two of them
 * meet, a moment has bounds on both sides of it.
 */
export function thinned(era: Era): { readonly era: Era; readonly closed: ClosedEra | null } {
  const { upper, lower } = era.region;
  const cuts = [upper, lower].filter(isTooMany).map(middleOf);
  if (cuts.length === 0) return { era, closed: null };
  const newest = newestOf([...upper, ...lower]);
  const region = learn(thinnedSide(upper, newest), thinnedSide(lower, newest), era.region.wander) ?? era.region;
  const middle = Math.max(era.closedToMs, ...cuts);
  const closed = {
    fromUptimeMs: era.closedToMs,
    toUptimeMs: Math.max(middle, confirmedUptimeMs(era)),
    region: era.region,
  };
  return { era: { ...era, closedToMs: middle, region }, closed };
}

// Each side for itself: arrivals outnumber exchanges, and must not drive them out.
const isTooMany = (bounds: readonly Bound[]): boolean => bounds.length > MOST_BOUNDS;
const newestOf = (bounds: readonly Bound[]): number =>
  bounds.reduce((newest, { uptimeMs }) => Math.max(newest, uptimeMs), 0);
const middleOf = (bounds: readonly Bound[]): number =>
  bounds.map(({ uptimeMs }) => uptimeMs).toSorted((a, b) => a - b)[bounds.length >> 1] ?? 0;

/** The younger half, and the oldest of the rest that a rate can be learned from. */
function thinnedSide(bounds: readonly Bound[], newestMs: number): readonly Bound[] {
  if (!isTooMany(bounds)) return bounds;
  const middle = middleOf(bounds);
  const old = bounds.filter(({ uptimeMs }) => uptimeMs < middle && uptimeMs >= newestMs - BASELINE_MS);
  const oldest = old.toSorted((a, b) => a.uptimeMs - b.uptimeMs).slice(0, 1);
  return [...oldest, ...bounds.filter(({ uptimeMs }) => uptimeMs >= middle)];
}

/** What the era says of the true time at an uptime that was rounded down to whole ms; null where nothing bounds it. */
export function timesAt({ region }: Era | ClosedEra, uptimeMs: number, stepMs: number) {
  const lowest = offsetAt(region, 'lower', uptimeMs);
  const highest = offsetAt(region, 'upper', uptimeMs + stepMs);
  return {
    earliest: lowest === null ? null : uptimeMs + lowest,
    latest: highest === null ? null : uptimeMs + stepMs + highest,
  };
}
