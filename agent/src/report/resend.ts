import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';

/** How long an answer may take before the report that asked is sent again; doubles with every attempt. */
const ANSWER_WITHIN_MS = 30_000;
/** How soon a report may be sent again that an answer showed missing; doubles with every attempt. */
const MISSING_WITHIN_MS = 2_000;
const RETRY_MS = 1_000;
const LONGEST_MS = 30 * 60_000;

const doubled = (base: number, attempts: number): number => Math.min(LONGEST_MS, base * 2 ** Math.max(0, attempts - 1));

/** When to send a report again that asked and was not answered. */
export const againAt = (sentAt: UptimeMs, attempts: number): UptimeMs =>
  uptimeMs(sentAt + doubled(ANSWER_WITHIN_MS, attempts));

/** When to send a report again that was sent and is not recorded. */
export const missingAt = (sentAt: UptimeMs, attempts: number): UptimeMs =>
  uptimeMs(sentAt + doubled(MISSING_WITHIN_MS, attempts));

/** When to try again after the link refused. */
export const retryAt = (now: UptimeMs): UptimeMs => uptimeMs(now + RETRY_MS);
