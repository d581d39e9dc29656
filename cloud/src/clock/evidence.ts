import type { WallMs } from '@paddock/shared/time.ts';
import { learn, MAX_RATE_ERROR, type Bound } from './region.ts';

/** One exchange as the device tells of it: the four timestamps of RFC 5905, two on each side. */
export interface Exchange {
  readonly requestUptimeMs: number;
  readonly cloudReceivedAt: WallMs;
  readonly cloudSentAt: WallMs;
  readonly responseUptimeMs: number;
  /** How wrong the cloud's own clock could be when it stamped this, in ms: part of its bounds. */
  readonly cloudErrorMs: number;
}

/** What one report, or one request for the time, says about its clock. */
export interface Evidence {
  /** When the state was taken, or the request made: no later than it arrived. */
  readonly uptimeMs: number;
  readonly receivedAt: WallMs;
  /** What the device's wall clock claimed at `uptimeMs`; null when it said nothing. */
  readonly wallMs: WallMs | null;
  readonly exchanges: readonly Exchange[];
  /** The same of the arrival. */
  readonly cloudErrorMs: number;
}

/**
 * What can be wrong with evidence. None of it refuses a report: what cannot be used is left out, or widens
 * the interval, and is counted and told.
 */
export const CLOCK_FAULTS = {
  exchange_backwards: 'An exchange ends before it begins',
  exchange_future: 'An exchange lies after the report that tells of it',
  exchange_contradicts: 'An exchange fits no clock: it contradicts itself or the report that tells of it',
  clock_contradiction: 'The clock contradicts what was known of it: a jump, a suspend, or a lie',
  clock_unsteady: 'The clock wanders more than a crystal does',
  wall_stepped: 'The wall clock was set, or jumped',
  wall_wrong_at_boot: 'The wall clock was more than an hour wrong when the boot began: is its battery empty?',
  change_before_boot: 'A reading changed before its boot began',
} as const;
export type ClockFault = keyof typeof CLOCK_FAULTS;

/** What evidence says of true time, as bounds of a region. */
export interface Bounds {
  readonly upper: readonly Bound[];
  readonly lower: readonly Bound[];
}

/** Uptimes and stamps are whole ms, rounded down: what they say lies within one. */
export const STEP_MS = 1;

/** @returns the bounds of the evidence, without exchanges that cannot be true, and what is wrong with those */
export function boundsOf(evidence: Evidence): { readonly bounds: Bounds; readonly faults: readonly ClockFault[] } {
  const faults: ClockFault[] = [];
  const sound = evidence.exchanges.filter((exchange) => {
    const fault = faultOf(exchange, evidence);
    if (fault) faults.push(fault);
    return fault === null;
  });
  const { uptimeMs, receivedAt, cloudErrorMs } = evidence;
  const arrival = noLaterThan(uptimeMs, receivedAt, cloudErrorMs);
  const upper = [arrival, ...sound.map((e) => noLaterThan(e.requestUptimeMs, e.cloudReceivedAt, e.cloudErrorMs))];
  const lower = sound.map((e) => noEarlierThan(e.responseUptimeMs, e.cloudSentAt, e.cloudErrorMs));
  if (lower.length === 0 || learn(upper, lower) !== null) return { bounds: { upper, lower }, faults };
  return { bounds: { upper: [arrival], lower: [] }, faults: [...faults, 'exchange_contradicts'] };
}

function faultOf(
  exchange: Exchange,
  { uptimeMs, receivedAt, cloudErrorMs: arrivalErrorMs }: Evidence,
): ClockFault | null {
  const { requestUptimeMs, cloudReceivedAt, cloudSentAt, responseUptimeMs, cloudErrorMs } = exchange;
  const awayMs = responseUptimeMs - requestUptimeMs;
  const inCloudMs = cloudSentAt - cloudReceivedAt;
  if (requestUptimeMs < 0 || awayMs < 0 || inCloudMs < 0) return 'exchange_backwards';
  if (responseUptimeMs > uptimeMs || cloudSentAt > receivedAt + STEP_MS + arrivalErrorMs + cloudErrorMs)
    return 'exchange_future';
  const longest = (awayMs + STEP_MS) * (1 + MAX_RATE_ERROR) + STEP_MS + 2 * cloudErrorMs;
  return inCloudMs > longest ? 'exchange_contradicts' : null;
}

/** T(uptime) <= at: sent at that uptime, received then. */
const noLaterThan = (uptimeMs: number, at: WallMs, cloudErrorMs: number): Bound => ({
  uptimeMs,
  offsetMs: at + STEP_MS + cloudErrorMs - uptimeMs,
});

/** T(uptime) >= at: sent then, received at that uptime or a fraction later. */
const noEarlierThan = (uptimeMs: number, at: WallMs, cloudErrorMs: number): Bound => ({
  uptimeMs: uptimeMs + STEP_MS,
  offsetMs: at - cloudErrorMs - uptimeMs - STEP_MS,
});
