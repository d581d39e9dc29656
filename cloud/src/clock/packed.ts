import type { ClockRecord } from './clock.ts';
import type { ClosedEra, Era } from './era.ts';
import type { Bound, Region } from './region.ts';
import type { WallRecord } from './wall.ts';

/** A region as JSON. Each side is flat: uptime, offset, uptime, offset, ... */
export type PackedRegion = readonly [
  wanderPpm: number,
  lowestRate: number,
  highestRate: number,
  upper: readonly number[],
  lower: readonly number[],
];
type PackedEra = readonly [fromUptimeMs: number, closedToMs: number, region: PackedRegion];

/** A clock as its row keeps it: no names but one letter, because it is written with every bound that is news. */
export interface PackedClock {
  readonly e: PackedEra;
  readonly b?: PackedEra;
  readonly d?: readonly [pieces: number, era: PackedEra];
  readonly u: number;
  readonly c?: number;
  readonly w?: readonly [
    first: number,
    firstOffset: number,
    at: number,
    offset: number,
    steps: number,
    last: number | null,
  ];
}

export function packClock({ era, before, doubt, lastUptimeMs, contradictions, wall }: ClockRecord): PackedClock {
  return {
    e: packEra(era),
    ...(before && { b: packEra(before) }),
    ...(doubt && { d: [doubt.pieces, packEra(doubt.era)] }),
    u: lastUptimeMs,
    ...(contradictions > 0 && { c: contradictions }),
    ...(wall && { w: packWall(wall) }),
  };
}

export const unpackClock = ({ e, b, d, u, c, w }: PackedClock): ClockRecord => ({
  era: unpackEra(e),
  before: b ? unpackEra(b) : null,
  doubt: d ? { pieces: d[0], era: unpackEra(d[1]) } : null,
  lastUptimeMs: u,
  contradictions: c ?? 0,
  wall: w ? unpackWall(w) : null,
});

const packEra = ({ fromUptimeMs, closedToMs, region }: Era): PackedEra => [
  fromUptimeMs,
  closedToMs,
  packRegion(region),
];
const unpackEra = ([fromUptimeMs, closedToMs, region]: PackedEra): Era => ({
  fromUptimeMs,
  closedToMs,
  region: unpackRegion(region),
});

export const packRegion = ({ wander, rate, upper, lower }: Region): PackedRegion => [
  Math.round(wander * 1e6),
  ...rate,
  upper.flatMap(flat),
  lower.flatMap(flat),
];

const unpackRegion = ([wanderPpm, lowest, highest, upper, lower]: PackedRegion): Region => ({
  upper: pairs(upper),
  lower: pairs(lower),
  rate: [lowest, highest],
  wander: wanderPpm / 1e6,
});

export const unpackClosed = (row: {
  from_uptime_ms: number;
  to_uptime_ms: number;
  region: PackedRegion;
}): ClosedEra => ({
  fromUptimeMs: row.from_uptime_ms,
  toUptimeMs: row.to_uptime_ms,
  region: unpackRegion(row.region),
});

const flat = ({ uptimeMs, offsetMs }: Bound): number[] => [uptimeMs, offsetMs];

function pairs(numbers: readonly number[]): Bound[] {
  const bounds: Bound[] = [];
  for (let at = 0; at + 1 < numbers.length; at += 2)
    bounds.push({ uptimeMs: numbers[at] ?? 0, offsetMs: numbers[at + 1] ?? 0 });
  return bounds;
}

const packWall = (wall: WallRecord): NonNullable<PackedClock['w']> => [
  wall.firstUptimeMs,
  wall.firstOffsetMs,
  wall.uptimeMs,
  wall.offsetMs,
  wall.steps,
  wall.lastStepMs,
];

const unpackWall = ([firstUptimeMs, firstOffsetMs, uptimeMs, offsetMs, steps, lastStepMs]: NonNullable<
  PackedClock['w']
>): WallRecord => ({ firstUptimeMs, firstOffsetMs, uptimeMs, offsetMs, steps, lastStepMs });
