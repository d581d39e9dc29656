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

/** Bounds on each side that are kept at hand; about those of a day, since only the tightest are kept at all. */
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
 * Moves the older half of the bounds out of an era that holds too many, but the oldest ones, which know the rate best.
 * What is put away is for every uptime since the last time, the first moments of the era included, and reaches as far
 * as it is confirmed: where two of them meet, a moment has bounds on both sides of it.
 */
export function thinned(era: Era): { readonly era: Era; readonly closed: ClosedEra | null } {
  const { upper, lower } = era.region;
  if (upper.length <= MOST_BOUNDS && lower.length <= MOST_BOUNDS) return { era, closed: null };
  const sorted = [...upper, ...lower].map(({ uptimeMs }) => uptimeMs).toSorted((a, b) => a - b);
  const middle = sorted[sorted.length >> 1] ?? 0;
  const newest = sorted.at(-1) ?? 0;
  const keep = (bounds: readonly Bound[]): Bound[] => {
    const old = bounds.filter(({ uptimeMs }) => uptimeMs < middle && uptimeMs >= newest - BASELINE_MS);
    const oldest = old.toSorted((a, b) => a.uptimeMs - b.uptimeMs).slice(0, 1);
    return [...oldest, ...bounds.filter(({ uptimeMs }) => uptimeMs >= middle)];
  };
  const region = learn(keep(upper), keep(lower), era.region.wander) ?? era.region;
  const closed = {
    fromUptimeMs: era.closedToMs,
    toUptimeMs: Math.max(middle, confirmedUptimeMs(era)),
    region: era.region,
  };
  return { era: { ...era, closedToMs: middle, region }, closed };
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
