import { confirmedUptimeMs, extended, newEra, thinned, timesAt, type ClosedEra, type Era } from './era.ts';
import { boundsOf, STEP_MS, type Bounds, type ClockFault, type Evidence } from './evidence.ts';
import { noteWall, type WallRecord } from './wall.ts';

/**
 * What is known of one clock: of a boot of a device, or of what lies between two suspends of it. Plain data, so that it
 * can be kept as JSON. A new one is made for every change; nothing here is ever changed.
 */
export interface ClockRecord {
  /** The regime that holds from its first uptime on. */
  readonly era: Era;
  /** The one before it, when the evidence showed that the clock had jumped. */
  readonly before: Era | null;
  /** What contradicts the era and is not believed yet. */
  readonly doubt: Doubt | null;
  /** The newest uptime that can be believed: what came before the next boot. */
  readonly lastUptimeMs: number;
  readonly wall: WallRecord | null;
  /** How many pieces of evidence contradicted what was known. */
  readonly contradictions: number;
}

interface Doubt {
  readonly era: Era;
  readonly pieces: number;
}

export interface Observed {
  readonly clock: ClockRecord;
  readonly faults: readonly ClockFault[];
  /** What is not needed here any more and what history still needs. */
  readonly closed: readonly ClosedEra[];
  /** Whether it says more than before; a newer last uptime alone does not. */
  readonly isNews: boolean;
}

/** So many pieces of evidence that agree with each other, and not with what was known, are believed. */
const BELIEVED_PIECES = 2;

/** A clock that is further off was not kept by anything while the machine was off. */
const FAR_MS = 3_600_000;

const UNSEEN: ClockRecord = {
  era: newEra(0),
  before: null,
  doubt: null,
  lastUptimeMs: 0,
  wall: null,
  contradictions: 0,
};

/** Takes one more piece of evidence into account. Evidence may come in any order of uptime. */
export function observe(clock: ClockRecord | null, evidence: Evidence): Observed {
  const known = clock ?? UNSEEN;
  const { fromUptimeMs } = known.era;
  // What is older than the regime says nothing of it, and the one before is closed.
  if (evidence.uptimeMs < fromUptimeMs) return { clock: known, faults: [], closed: [], isNews: false };
  const exchanges = evidence.exchanges.filter(
    ({ requestUptimeMs }) => requestUptimeMs >= fromUptimeMs || fromUptimeMs === 0,
  );
  const { bounds, faults } = boundsOf({ ...evidence, exchanges });
  const believed = believe(known, bounds);
  const { era, closed } = thinned(believed.era);
  const isContradicted = believed.contradictions > known.contradictions;
  const wall = noteWall(known.wall, evidence);
  const next = {
    ...believed,
    era,
    doubt: boundedDoubt(believed.doubt),
    wall,
    lastUptimeMs: isContradicted ? known.lastUptimeMs : Math.max(known.lastUptimeMs, evidence.uptimeMs),
  };
  const isNews = clock === null || believed !== known || wall !== known.wall;
  const noticed: readonly (readonly [fault: ClockFault, seen: boolean])[] = [
    ['clock_contradiction', isContradicted],
    ['clock_unsteady', era.region.wander > known.era.region.wander],
    ['wall_stepped', (wall?.steps ?? 0) > (known.wall?.steps ?? 0)],
    ['wall_wrong_at_boot', isNews && isWrongAtBoot(next) && !isWrongAtBoot(known)],
  ];
  return {
    clock: next,
    faults: [...faults, ...noticed.flatMap(([fault, seen]) => (seen ? [fault] : []))],
    isNews,
    closed: [...(believed.before === known.before ? [] : [closedBy(known.era)]), ...(closed ? [closed] : [])],
  };
}

/** Proved by an exchange of this very clock: its neighbours may be as wrong. */
function isWrongAtBoot({ era, wall }: ClockRecord): boolean {
  if (wall === null || era.region.lower.length === 0) return false;
  const { earliest, latest } = timesAt(era, wall.firstUptimeMs, STEP_MS);
  const claimed = wall.firstUptimeMs + wall.firstOffsetMs;
  return (earliest !== null && claimed < earliest - FAR_MS) || (latest !== null && claimed > latest + FAR_MS);
}

function believe(clock: ClockRecord, bounds: Bounds): ClockRecord {
  const { doubt } = clock;
  const era = extended(clock.era, bounds);
  const doubted = doubt ? extended(doubt.era, bounds) : undefined;
  // What contradicts neither is no verdict; what contradicts only the doubt ends it.
  if (era === clock.era && doubted === doubt?.era) return clock;
  if (era) return { ...clock, era, doubt: doubt && doubted ? { ...doubt, era: doubted } : null };
  const contradictions = clock.contradictions + 1;
  if (!doubt || !doubted) return { ...clock, contradictions, doubt: { era: doubtOf(bounds), pieces: 1 } };
  const pieces = doubt.pieces + 1;
  // Arrivals alone contradict no later arrival: without an exchange there is nothing that they could agree on.
  if (pieces < BELIEVED_PIECES || doubted.region.lower.length === 0)
    return { ...clock, contradictions, doubt: { era: doubted, pieces } };
  return { ...clock, contradictions, era: doubted, before: clock.era, doubt: null };
}

/** What a doubt has too many of is let go: it may never be believed, and a device can make one go on for ever. */
function boundedDoubt(doubt: Doubt | null): Doubt | null {
  if (doubt === null) return null;
  const { era, closed } = thinned(doubt.era);
  return closed === null ? doubt : { ...doubt, era: { ...era, closedToMs: doubt.era.closedToMs } };
}

/** A regime of its own from the oldest uptime that the evidence speaks of. */
function doubtOf(bounds: Bounds): Era {
  const fresh = newEra(Math.min(...[...bounds.upper, ...bounds.lower].map(({ uptimeMs }) => uptimeMs)));
  return extended(fresh, bounds) ?? fresh;
}

const closedBy = (era: Era): ClosedEra => ({ ...era, toUptimeMs: confirmedUptimeMs(era) });

/** One clock of a device's life: a boot, or what lies between two suspends of it. */
export interface LivedClock {
  readonly bootId: string;
  readonly segment: number;
  readonly record: ClockRecord;
  /** What was put away of it. */
  readonly closed: readonly ClosedEra[];
}
