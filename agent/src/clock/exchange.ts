import type { Answer } from '@paddock/shared/answer.ts';
import type { Exchange } from '@paddock/shared/report.ts';
import { fromInstant, type UptimeMs } from '@paddock/shared/time.ts';

/** A moment of this boot: its uptime, and the clock segment that it lies in. */
export interface Moment {
  readonly at: UptimeMs;
  readonly segment: number;
}

/** A crystal is wrong by up to 100 ppm; twice that is never passed (docs/protocol.md, "Time"). */
export const MAX_RATE_ERROR = 200e-6;

/** Uptimes and the cloud's stamps are whole ms, rounded down: each says a little too little. */
export const STEP_MS = 1;

/** Why an answer that was taken is no exchange. It tells the cloud nothing, and this device no time. */
export const EXCHANGE_FAULTS = {
  exchange_suspended: 'The machine was suspended between the report and its answer',
  exchange_backwards: 'The answer was sent before its report was received',
  exchange_contradicts: 'The cloud held the report for longer than its answer took to come',
} as const;
export type ExchangeFault = keyof typeof EXCHANGE_FAULTS;

/**
 * The device's side of a report that asked, and of its answer: the four timestamps of RFC 5905.
 * @param request when the report was first handed to the link: no copy of it left earlier, whichever was answered
 * @param response when the answer arrived, stamped before anything else was done with it
 */
export function exchangeOf(
  request: Moment,
  { receivedAt, sentAt }: Pick<Answer, 'receivedAt' | 'sentAt'>,
  response: Moment,
): { readonly exchange: Exchange } | { readonly fault: ExchangeFault } {
  const exchange = { requestUptimeMs: request.at, receivedAt, sentAt, responseUptimeMs: response.at };
  if (request.segment !== response.segment) return { fault: 'exchange_suspended' };
  const inCloudMs = fromInstant(sentAt) - fromInstant(receivedAt);
  // Not the other way round: a date that does not exist compares with nothing.
  if (!(inCloudMs >= 0)) return { fault: 'exchange_backwards' };
  const longestMs = (response.at - request.at + STEP_MS) / (1 - MAX_RATE_ERROR) + STEP_MS;
  return response.at < request.at || inCloudMs > longestMs ? { fault: 'exchange_contradicts' } : { exchange };
}

/** How long both ways took together, in ms: the smaller, the more an exchange says. */
export const roundTripMs = (exchange: Exchange): number =>
  exchange.responseUptimeMs -
  exchange.requestUptimeMs -
  (fromInstant(exchange.sentAt) - fromInstant(exchange.receivedAt));
