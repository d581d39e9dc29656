import type { Reading } from '@paddock/shared/report.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';

/** How much later than announced a report may come before its silence means something: signing, network, a slow cloud. */
const GRACE_MS = 30_000;

/** What silence is judged by, in ms: the longest time between two scheduled reports, as the wire wants it. */
export const nextWithinMs = (gapMs: number, jitterMs: number): number => gapMs + jitterMs + GRACE_MS;

/** A device's place within the jitter, in ms: always the same one, and spread over the fleet (FNV-1a, 32 bit). */
export function jitterOf(deviceId: string, jitterMs: number): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(deviceId)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % (jitterMs + 1);
}

/** Changes of urgent sensors, at most one report in an interval. */
export interface UrgentChanges {
  readonly reportedAt: UptimeMs | null;
  /** Changed within the interval; the last one names the report that ends it. */
  readonly pending: string | null;
}

export const NO_CHANGES: UrgentChanges = { reportedAt: null, pending: null };

export interface UrgentDecision {
  readonly changes: UrgentChanges;
  /** Report the change of this sensor now. */
  readonly report: string | null;
  /** Decide again after this time. */
  readonly waitMs: number | null;
}

/**
 * A change is reported at once when the interval since the last report of a change is over, and at its end
 * otherwise: many changes make one report, and the last one is never left out.
 * @param sensor what changed; null when the wait is over
 */
export function decideUrgent(
  changes: UrgentChanges,
  sensor: string | null,
  now: UptimeMs,
  intervalMs: number,
): UrgentDecision {
  const pending = sensor ?? changes.pending;
  if (pending === null) return { changes, report: null, waitMs: null };
  const leftMs = changes.reportedAt === null ? 0 : changes.reportedAt + intervalMs - now;
  if (leftMs <= 0) return { changes: { reportedAt: now, pending: null }, report: pending, waitMs: null };
  return { changes: { ...changes, pending }, report: null, waitMs: leftMs };
}

/** A storm of events: so many at once, and then so many in a second; more are dropped and counted. */
export const EVENT_BURST = 576;
export const EVENTS_PER_SECOND = 20;

/** A token bucket. */
export interface EventBudget {
  readonly tokens: number;
  readonly at: UptimeMs;
}

/** @returns the budget without one event, or null when there is no room for it */
export function spendEvent(budget: EventBudget, now: UptimeMs): EventBudget | null {
  const tokens = Math.min(EVENT_BURST, budget.tokens + ((now - budget.at) * EVENTS_PER_SECOND) / 1000);
  return tokens < 1 ? null : { tokens: tokens - 1, at: now };
}

export const fullBudget = (now: UptimeMs): EventBudget => ({ tokens: EVENT_BURST, at: now });

/** Whether every sensor has told something, be it a fault: before, a first report would only say that nothing is known. */
export function hasSettled(readings: Readonly<Record<string, Reading>>): boolean {
  return Object.values(readings).every((reading) => reading.reason !== 'no-sample');
}

/** How long the first report waits for that. */
export const SETTLE_WITHIN_MS = 1_000;
export const SETTLE_POLL_MS = 25;

/** When the schedule is overdue: a wall clock that was set back makes cron wait, and time goes on nevertheless. */
export const overdueAt = (reportedAt: UptimeMs, gapMs: number, jitterMs: number): UptimeMs =>
  uptimeMs(reportedAt + gapMs + jitterMs + GRACE_MS / 2);
