import type { Exchange } from '@paddock/shared/report.ts';
import { fromInstant, uptimeMs, wallMs, type UptimeMs, type WallMs } from '@paddock/shared/time.ts';
import { MAX_RATE_ERROR, STEP_MS, type Moment } from './exchange.ts';

/** True time was no earlier (or no later) than `wall` at that uptime. */
export interface Bound {
  readonly at: UptimeMs;
  readonly wall: WallMs;
}

/** What exchanges of one clock segment say. Each bound is the best of its side: they may come from different exchanges. */
export interface Anchor {
  readonly segment: number;
  readonly lower: Bound;
  readonly upper: Bound;
}

/** What this device knows of true time, whatever its wall clock claims. */
export interface TrustedTime {
  /** Before the first exchange of the boot, and again after a suspend: no earlier than this, and no upper bound. */
  readonly floor: WallMs;
  readonly anchor: Anchor | null;
}

/** @property latest null when nothing bounds it from above */
export interface TrustedInterval {
  readonly earliest: WallMs;
  readonly latest: WallMs | null;
}

/** An interval with both bounds. */
export interface KnownInterval extends TrustedInterval {
  readonly latest: WallMs;
}

/**
 * Before the first exchange. A real-time clock is never a floor: its battery may have died at any date.
 * @param builtAt when this program was built
 * @param kept the last trusted time on the disk; null when there is none
 */
export const untrusted = (builtAt: WallMs, kept: WallMs | null): TrustedTime => ({
  floor: wallMs(Math.max(builtAt, kept ?? builtAt)),
  anchor: null,
});

/**
 * Takes an exchange of this boot into account. It is bound to a nonce, so it replaces the floor in either direction:
 * a floor in the future, from a bad file or a cloud that was wrong, never wins over it.
 * @param segment the clock segment of the exchange
 * @returns `contradicted` when it does not fit what earlier exchanges said; then it alone is believed
 */
export function learn(
  { anchor }: TrustedTime,
  segment: number,
  exchange: Exchange,
): { readonly time: TrustedTime; readonly contradicted: boolean } {
  const at = uptimeMs(exchange.responseUptimeMs);
  const fresh: Anchor = {
    segment,
    lower: { at, wall: fromInstant(exchange.sentAt) },
    upper: { at: uptimeMs(exchange.requestUptimeMs), wall: fromInstant(exchange.receivedAt) },
  };
  const known = anchor?.segment === segment ? best(anchor, fresh, at) : fresh;
  const contradicted = earliestAt(known.lower, at) > latestAt(known.upper, at);
  const believed = contradicted ? fresh : known;
  // What the exchange said is the floor across a suspend: time passes meanwhile, and nobody knows how much.
  return { time: { floor: believed.lower.wall, anchor: believed }, contradicted };
}

const best = (known: Anchor, fresh: Anchor, at: UptimeMs): Anchor => ({
  segment: fresh.segment,
  lower: earliestAt(fresh.lower, at) >= earliestAt(known.lower, at) ? fresh.lower : known.lower,
  upper: latestAt(fresh.upper, at) <= latestAt(known.upper, at) ? fresh.upper : known.upper,
});

/**
 * True time at a moment of this boot. It is the cloud's time: what its clock was wrong by is not in it.
 * @param moment in the segment of the last exchange, or in a later one
 */
export function trustedAt({ floor, anchor }: TrustedTime, { at, segment }: Moment): TrustedInterval {
  if (anchor?.segment !== segment) return { earliest: floor, latest: null };
  const earliest = wallMs(Math.floor(earliestAt(anchor.lower, at)));
  return { earliest, latest: wallMs(Math.ceil(latestAt(anchor.upper, at))) };
}

export const isKnown = (interval: TrustedInterval): interval is KnownInterval => interval.latest !== null;

/** The bound's uptime may have been a step later than it says. */
const earliestAt = ({ at, wall }: Bound, now: UptimeMs): number => wall + shortest(now - at - STEP_MS);

/** The moment asked for may be a step later than its uptime says, and so may the cloud's stamp. */
const latestAt = ({ at, wall }: Bound, now: UptimeMs): number => wall + STEP_MS + longest(now - at + STEP_MS);

/** The least and the most of true time that may pass while the uptime counts so many ms; backwards when negative. */
const shortest = (ms: number): number => (ms >= 0 ? ms / (1 + MAX_RATE_ERROR) : ms / (1 - MAX_RATE_ERROR));
const longest = (ms: number): number => (ms >= 0 ? ms / (1 - MAX_RATE_ERROR) : ms / (1 + MAX_RATE_ERROR));
