import type { Trigger } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';

/**
 * An exchange is old after half an hour. A little less is counted, so that with reports every five minutes
 * it is the sixth that asks, and not the seventh because of a millisecond.
 */
export const EXCHANGE_OLD_AFTER_MS = 30 * 60_000 - 10_000;

/** What always asks: what opens a connection, and what must not be lost. A goodbye waits for no answer. */
const ASKS = {
  boot: true,
  connect: true,
  event: true,
  schedule: false,
  change: false,
  shutdown: false,
} as const satisfies Record<Trigger['kind'], boolean>;

/**
 * Whether a report asks for an answer.
 * @param exchangeAt when the last answer came or the last report asked; null when neither was yet
 */
export function asksForAnswer(trigger: Trigger, exchangeAt: UptimeMs | null, now: UptimeMs): boolean {
  if (ASKS[trigger.kind]) return true;
  if (trigger.kind === 'shutdown') return false;
  return exchangeAt === null || now - exchangeAt >= EXCHANGE_OLD_AFTER_MS;
}
