import type { Trigger } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';

/** What always asks: what opens a connection, and what must not be lost. A goodbye waits for no answer. */
const ASKS = {
  boot: true,
  connect: true,
  event: true,
  desired: true,
  schedule: false,
  change: false,
  shutdown: false,
} as const satisfies Record<Trigger['kind'], boolean>;

/**
 * Whether a report asks for an answer.
 * @param exchangeAt when the last exchange was made or the last report asked; null when neither was yet
 * @param oldAfterMs how old the last exchange may grow
 */
export function asksForAnswer(
  trigger: Trigger,
  exchangeAt: UptimeMs | null,
  now: UptimeMs,
  oldAfterMs: number,
): boolean {
  if (ASKS[trigger.kind]) return true;
  if (trigger.kind === 'shutdown') return false;
  return exchangeAt === null || now - exchangeAt >= oldAfterMs;
}
