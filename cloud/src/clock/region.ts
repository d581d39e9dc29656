/**
 * The feasible region of one clock, as a linear program in two unknowns.
 *
 * With T(m) the true time at uptime m, the offset T(m) - m of a crystal moves at a rate that stays within `wander` of
 * one constant rate. A bound says that the offset at one uptime is at most (upper) or at least (lower) some value. For
 * a fixed rate the offset at any other uptime is bounded by the tightest cone of those bounds; the rate itself can only
 * be one for which no lower cone rises above an upper one. Both are linear in the rate, so the extreme offset over all
 * rates that are left is found exactly: this is what Marzullo's intersection (1984) becomes when clocks drift.
 */

/** No crystal and no clock that nobody disciplines is wrong by more: a fraction, 200 ppm. */
export const MAX_RATE_ERROR = 200e-6;
/** How far a rate wanders with temperature, first as crystals do, then as far as the evidence forces us to believe. */
const WANDERS = [15e-6, 30e-6, 60e-6, 120e-6, MAX_RATE_ERROR] as const;
export const STEADY_WANDER = WANDERS[0];

/** At this uptime, true time minus uptime is at most, or at least, `offsetMs`. */
export interface Bound {
  readonly uptimeMs: number;
  readonly offsetMs: number;
}

/** Bounds that contradict each other at no rate of a clock, and what is learned from them. */
export interface Region {
  readonly upper: readonly Bound[];
  readonly lower: readonly Bound[];
  /** The lowest and the highest rate (a fraction, 0 is exact) that the bounds leave. */
  readonly rate: readonly [lowest: number, highest: number];
  /** How far the momentary rate may lie from it. */
  readonly wander: number;
}

export type Side = 'upper' | 'lower';

export const EMPTY_REGION: Region = {
  upper: [],
  lower: [],
  rate: [STEADY_WANDER - MAX_RATE_ERROR, MAX_RATE_ERROR - STEADY_WANDER],
  wander: STEADY_WANDER,
};

/**
 * The region with more bounds, without those that can never matter again.
 * @returns null when the bounds contradict each other at every rate up to MAX_RATE_ERROR
 */
export function withBounds(region: Region, more: Readonly<Record<Side, readonly Bound[]>>): Region | null {
  const [upper, lower] = (['upper', 'lower'] as const).map((side) =>
    more[side].filter((bound) => !region[side].some((known) => covers(known, bound, region, side))),
  ) as [Bound[], Bound[]];
  if (upper.length === 0 && lower.length === 0) return region;
  const learned = learn([...region.upper, ...upper], [...region.lower, ...lower], region.wander);
  return learned && pruned(learned);
}

/** Learns the rate from every pair of bounds; believes in as little wander as they allow. */
export function learn(
  upper: readonly Bound[],
  lower: readonly Bound[],
  leastWander: number = STEADY_WANDER,
): Region | null {
  for (const [at, wander] of WANDERS.entries()) {
    if (wander < leastWander || ratesAt(upper, lower, wander) === null) continue;
    // What is just enough to explain what was seen is not enough for what was not.
    const safe = wander === STEADY_WANDER || wander === leastWander ? wander : (WANDERS[at + 1] ?? wander);
    const rate = ratesAt(upper, lower, safe);
    return rate && { upper, lower, rate, wander: safe };
  }
  return null;
}

/** The rates for which no lower cone rises above an upper one; null when there are none. */
function ratesAt(upper: readonly Bound[], lower: readonly Bound[], wander: number): Region['rate'] | null {
  let lowest = wander - MAX_RATE_ERROR;
  let highest = MAX_RATE_ERROR - wander;
  for (const above of upper)
    for (const below of lower) {
      const spanMs = above.uptimeMs - below.uptimeMs;
      const roomMs = above.offsetMs - below.offsetMs;
      if (spanMs === 0 && roomMs < 0) return null;
      if (spanMs > 0) highest = Math.min(highest, roomMs / spanMs + wander);
      if (spanMs < 0) lowest = Math.max(lowest, roomMs / spanMs - wander);
    }
  return lowest <= highest ? [lowest, highest] : null;
}

/** The most (upper) or the least (lower) that true time minus uptime can be at an uptime; null when nothing bounds it. */
export function offsetAt(region: Region, side: Side, uptimeMs: number): number | null {
  const bounds = region[side];
  if (bounds.length === 0) return null;
  return side === 'upper' ? highestOf(bounds, 1, uptimeMs, region) : -highestOf(bounds, -1, uptimeMs, region);
}

/**
 * The maximum over the rates of the minimum over the bounds: walks along the lower envelope of the lines from the
 * lowest rate to the top. `sign` turns lower bounds into upper ones. Asked for every moment that is shown: so it makes
 * nothing that would have to be collected.
 */
function highestOf(bounds: readonly Bound[], sign: 1 | -1, uptimeMs: number, { rate, wander }: Region): number {
  let at = rate[0];
  let value = Infinity;
  let slope = Infinity;
  for (const bound of bounds) {
    const itsSlope = sign * (uptimeMs - bound.uptimeMs);
    const its = valueOf(bound, sign, itsSlope, at, wander);
    if (its > value || (its === value && itsSlope >= slope)) continue;
    value = its;
    slope = itsSlope;
  }
  while (slope > 0) {
    let nextAt = rate[1];
    let nextSlope = slope;
    for (const bound of bounds) {
      const itsSlope = sign * (uptimeMs - bound.uptimeMs);
      if (itsSlope >= slope) continue;
      const crossing = at + Math.max(0, valueOf(bound, sign, itsSlope, at, wander) - value) / (slope - itsSlope);
      if (crossing > nextAt || (crossing === nextAt && itsSlope >= nextSlope)) continue;
      nextAt = crossing;
      nextSlope = itsSlope;
    }
    value += slope * (nextAt - at);
    if (nextSlope === slope) return value;
    at = nextAt;
    slope = nextSlope;
  }
  return value;
}

/** What a bound allows at a rate: a line in the rate. */
const valueOf = (bound: Bound, sign: 1 | -1, slope: number, rate: number, wander: number): number =>
  sign * bound.offsetMs + slope * rate + wander * Math.abs(slope);

function pruned(region: Region): Region {
  const keep = (side: Side): Bound[] => {
    let kept: Bound[] = [];
    for (const bound of region[side]) {
      if (kept.some((other) => covers(other, bound, region, side))) continue;
      kept = [...kept.filter((other) => !covers(bound, other, region, side)), bound];
    }
    return kept;
  };
  return { ...region, upper: keep('upper'), lower: keep('lower') };
}

/** Whether a bound follows from another one at every rate that is left. */
function covers(by: Bound, bound: Bound, { rate, wander }: Region, side: Side): boolean {
  const sign = side === 'upper' ? 1 : -1;
  const spanMs = sign * (bound.uptimeMs - by.uptimeMs);
  const carried = sign * by.offsetMs + Math.max(rate[0] * spanMs, rate[1] * spanMs) + wander * Math.abs(spanMs);
  return carried <= sign * bound.offsetMs;
}
