import type { WallMs } from '@paddock/shared/time.ts';
import type { Presence } from '../devices/presence.ts';

/**
 * Whether a device is there, judged by its signed reports alone.
 * `silence`: how far a silence has gone; null where silence says nothing.
 */
export const PRESENCES = {
  'never-seen': { silence: null },
  online: { silence: 0 },
  late: { silence: 1 },
  lost: { silence: 2 },
  offline: { silence: null },
  retired: { silence: null },
} as const satisfies Record<Presence, { silence: number | null }>;

/** How long a silence may last. */
export interface Allowance {
  /** What transport and a busy device may add to the time a report announced for the next one. */
  readonly graceMs: number;
  /** After how many announced times (grace included) a device counts as lost. */
  readonly lostAfter: number;
  /** A device cannot ask to be left alone for longer than this. */
  readonly maxPeriodMs: number;
}

export const ALLOWANCE: Allowance = { graceMs: 15_000, lostAfter: 3, maxPeriodMs: 86_400_000 };

export interface LifeSigns {
  readonly retired: boolean;
  /** Arrival of the newest verified report, when it said the next would come, and whether it was a goodbye. */
  readonly heard: { readonly at: WallMs; readonly nextWithinMs: number; readonly goodbye: boolean } | null;
  /** What was said last, and the sign of life it was judged by. */
  readonly judged: { readonly state: Presence; readonly heardAt: WallMs | null } | null;
}

/**
 * Silence is counted from the last sign of life or from when we began to listen, whichever is later:
 * what nobody could have heard says nothing. A silence never heals by itself; only a report ends it.
 * @param listeningSince since when the cloud hears devices without a gap; null when it does not
 */
export function presenceOf(
  signs: LifeSigns,
  listeningSince: WallMs | null,
  now: WallMs,
  allowance: Allowance = ALLOWANCE,
): Presence {
  if (signs.retired) return 'retired';
  if (signs.heard === null) return 'never-seen';
  if (signs.heard.goodbye) return 'offline';
  const before = standing(signs);
  if (listeningSince === null) return before;
  const silentMs = now - Math.max(signs.heard.at, listeningSince);
  const counted = silenceOf(silentMs, signs.heard.nextWithinMs, allowance);
  return PRESENCES[counted].silence > PRESENCES[before].silence ? counted : before;
}

/** When a device is late and when it is lost, counted from the start of its silence. */
export function silenceOf(silentMs: number, nextWithinMs: number, allowance: Allowance): 'online' | 'late' | 'lost' {
  const lateMs = Math.min(nextWithinMs, allowance.maxPeriodMs) + allowance.graceMs;
  if (silentMs <= lateMs) return 'online';
  return silentMs <= lateMs * allowance.lostAfter ? 'late' : 'lost';
}

/** How far the silence had gone when it was judged last, unless something was heard since. */
function standing({ heard, judged }: LifeSigns): 'online' | 'late' | 'lost' {
  // Another sign of life, and not a later one: the clock may have been set back in between.
  const heardSince = heard?.at !== judged?.heardAt;
  if (judged === null || heardSince) return 'online';
  return judged.state === 'late' || judged.state === 'lost' ? judged.state : 'online';
}
