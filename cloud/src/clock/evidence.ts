import type { WallMs } from '@paddock/shared/time.ts';

/** One exchange as the device tells of it: the four timestamps of RFC 5905, two on each side. */
export interface Exchange {
  readonly requestUptimeMs: number;
  readonly cloudReceivedAt: WallMs;
  readonly cloudSentAt: WallMs;
  readonly responseUptimeMs: number;
}

/** What one report, or one request for the time, says about its boot's clock. */
export interface Evidence {
  /** When the state was taken, or the request made: no later than it arrived. */
  readonly uptimeMs: number;
  readonly receivedAt: WallMs;
  /** What the device's wall clock claimed at `uptimeMs`; null when it said nothing. */
  readonly wallMs: WallMs | null;
  readonly exchanges: readonly Exchange[];
  /** How wrong the cloud's own clock could be when it stamped this, in ms: part of every bound. */
  readonly cloudErrorMs: number;
}

/**
 * What can be wrong with evidence. None of it refuses a report: what cannot be used is left out, or widens
 * the interval, and is counted and told.
 */
export const CLOCK_FAULTS = {
  exchange_backwards: 'An exchange ends before it begins',
  exchange_future: 'An exchange lies after the report that tells of it',
  exchange_contradicts: 'An exchange contradicts itself: no rate of a clock fits it',
  clock_contradiction: 'The clock of this boot contradicts what was known of it: a jump, a suspend, or a lie',
  clock_unsteady: 'The clock of this boot wanders more than a crystal does',
  change_before_boot: 'A reading changed before its boot began',
} as const;
export type ClockFault = keyof typeof CLOCK_FAULTS;
