import type { Basis, TimeInterval, WallMs } from '@paddock/shared/time.ts';
import type { LivedClock } from './clock.ts';
import { STEP_MS } from './evidence.ts';
import { claimOf, type Claim } from './device-clock.ts';
import { both, intervalOf, isExchanged, limitsIn, meet, UNLIMITED, type Limits } from './place.ts';
import { MAX_RATE_ERROR } from './region.ts';

/** A clock between its neighbours. */
interface Bounded extends LivedClock {
  /** Nothing of this clock happened before: its uptime `sinceUptimeMs` was no earlier. */
  readonly floor: number | null;
  readonly sinceUptimeMs: number;
  /** Nothing of it happened later: the next clock was running. */
  readonly ceiling: number | null;
}

/** A moment of a device, and what was known of it when it arrived. */
export interface Moment {
  readonly bootId: string;
  readonly segment: number;
  readonly uptimeMs: number;
  /** No later than this, by its own arrival, the cloud's error included. */
  readonly arrivedBy: WallMs;
  /** Where it was placed on arrival; null when that is not kept. */
  readonly placed?: TimeInterval | null;
}

/**
 * The clocks of one device in the order of its boots and suspends. What one of them proves bounds the others: a boot
 * begins after everything that happened in the one before, and ends before the next begins.
 */
export class DeviceLife {
  readonly #clocks: readonly Bounded[];
  readonly #places: ReadonlyMap<string, number>;

  constructor(clocks: readonly LivedClock[]) {
    this.#clocks = withCeilings(withFloors(clocks));
    this.#places = new Map(clocks.map(({ bootId, segment }, at) => [`${bootId} ${segment}`, at]));
  }

  /** Places a moment by all that is known now. */
  place(moment: Moment): TimeInterval {
    const at = this.#places.get(`${moment.bootId} ${moment.segment}`);
    const clock = at === undefined ? undefined : this.#clocks[at];
    if (at === undefined || clock === undefined)
      return moment.placed ?? intervalOf({ earliest: null, latest: moment.arrivedBy }, 'arrival');
    const own = ownLimits(clock, moment);
    // A neighbour that contradicts what is known of this clock says more of itself.
    const bounded = both(own, fromNeighbours(clock, moment.uptimeMs)) ?? own;
    const all = { ...bounded, latest: bounded.latest ?? own.latest };
    if (own.earliest !== null) {
      const isNear = isExchanged(clock.record, moment.uptimeMs, clock.closed);
      return intervalOf(all, isNear ? 'exchanged' : 'extrapolated');
    }
    const claim = claimOf(this.#clocks, at, moment.uptimeMs);
    return (claim && byClaim(claim, all)) ?? intervalOf(all, basisOf(all, own, moment.arrivedBy));
  }
}

type Placed = Limits & { readonly latest: number };

/** By the clock itself, the moment's arrival, and where it was placed then: that was too good once the clock has jumped. */
function ownLimits({ record, closed }: LivedClock, { uptimeMs, arrivedBy, placed }: Moment): Placed {
  const arrival = { earliest: null, latest: arrivedBy };
  const own = meet(limitsIn(record, uptimeMs, closed), arrival);
  const limits = placed && record.contradictions === 0 ? meet(own, placed) : own;
  return { ...limits, latest: limits.latest ?? arrivedBy };
}

function basisOf(all: Placed, own: Placed, arrivedBy: number): Basis {
  if (all.earliest !== null || all.latest < own.latest) return 'neighbour';
  return own.latest < arrivedBy ? 'extrapolated' : 'arrival';
}

/** A claim that the bounds leave room for narrows them; the estimate is what the clock said. */
function byClaim({ at, errorMs }: Claim, bounded: Placed): TimeInterval | null {
  const earliest = Math.max(at - errorMs, bounded.earliest ?? -Infinity);
  const latest = Math.min(at + errorMs, bounded.latest);
  if (earliest > at || latest < at) return null;
  return { ...intervalOf({ earliest, latest }, 'device-clock'), estimate: at };
}

/** Carried from a neighbour at the worst rate, because nothing is learned of this clock from there. */
function fromNeighbours({ floor, sinceUptimeMs, ceiling, record }: Bounded, uptimeMs: number): Limits {
  const afterMs = Math.max(0, uptimeMs - sinceUptimeMs) * (1 - MAX_RATE_ERROR);
  const beforeMs = Math.max(0, record.lastUptimeMs - uptimeMs - STEP_MS) * (1 - MAX_RATE_ERROR);
  return {
    earliest: floor === null ? null : floor + afterMs,
    latest: ceiling === null ? null : ceiling - beforeMs,
  };
}

function withFloors(clocks: readonly LivedClock[]): Bounded[] {
  const bounded: Bounded[] = [];
  for (const clock of clocks) {
    const previous = bounded.at(-1);
    const isSameBoot = previous !== undefined && previous.bootId === clock.bootId;
    const end = previous ? endOf(previous) : UNLIMITED;
    bounded.push({
      ...clock,
      floor: end.earliest,
      sinceUptimeMs: isSameBoot ? previous.record.lastUptimeMs : 0,
      ceiling: null,
    });
  }
  return bounded;
}

/** The last moment that is known of a clock: what comes next happened later. */
function endOf(clock: Bounded): Limits {
  const { lastUptimeMs } = clock.record;
  return meet(limitsIn(clock.record, lastUptimeMs, clock.closed), fromNeighbours(clock, lastUptimeMs));
}

function withCeilings(clocks: readonly Bounded[]): Bounded[] {
  const bounded: Bounded[] = [];
  for (const clock of clocks.toReversed()) {
    const next = bounded[0];
    bounded.unshift(next === undefined ? clock : { ...clock, ceiling: beginningOf(next) });
  }
  return bounded;
}

/** The latest that a clock can have begun: what came before happened earlier. */
function beginningOf(clock: Bounded): number | null {
  const { latest } = meet(
    limitsIn(clock.record, clock.sinceUptimeMs, clock.closed),
    fromNeighbours(clock, clock.sinceUptimeMs),
  );
  return latest;
}
