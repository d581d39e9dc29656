import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Clock, Log, Metrics, Sql, Store } from '../ports.ts';
import { leaseDeliveries, settleDelivery, type Delivery, type Outcome } from './notifications.ts';
import { webhookHeaders, type WebhookKey } from './signature.ts';

/** One POST to the operator's address. */
export interface Poster {
  /** @returns the status of the answer; rejects when there was none in time. Never follows a redirect. */
  post(headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<number>;
}

export interface CourierSettings {
  readonly roundMs: number;
  /** Longer than one round of deliveries can take. */
  readonly leaseMs: number;
  readonly batch: number;
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
  /** After this many attempts a notice is given up, which is logged and counted. */
  readonly maxAttempts: number;
}

/** 15 attempts over about nine hours. */
export const COURIER_SETTINGS: CourierSettings = {
  roundMs: 1_000,
  leaseMs: 120_000,
  batch: 8,
  firstRetryMs: 5_000,
  longestRetryMs: 7_200_000,
  maxAttempts: 15,
};

export interface CourierParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly poster: Poster;
  readonly key: WebhookKey;
  /** The database's clock: what is due, and for how long it is somebody's, is one matter for all instances. */
  readonly now: (sql: Sql) => Promise<WallMs>;
  readonly settings?: CourierSettings;
}

export interface Courier {
  /** Tries every notice that is due once. @returns how many were tried */
  deliverDue(signal: AbortSignal): Promise<number>;
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Takes notices from the table to the operator's webhook, at least once: a receiver knows a repeat by its
 * webhook-id. Attempts and their times are in the table, so that a restart goes on where it was.
 */
export function createCourier(parts: CourierParts): Courier {
  const { store, clock, log, settings = COURIER_SETTINGS } = parts;

  async function deliverDue(signal: AbortSignal): Promise<number> {
    const due = await leaseDeliveries(store, await parts.now(store), settings.leaseMs, settings.batch);
    await Promise.all(due.map((delivery) => deliver(parts, delivery, settings, signal)));
    return due.length;
  }

  return {
    deliverDue,
    async run(signal) {
      let failing = false;
      while (!signal.aborted) {
        // Told once, or a database that is away would fill the log.
        const tried = await deliverDue(signal).catch((error: unknown) => {
          if (!failing) log.error({ err: error }, 'Notifications could not be read or settled; trying until they can');
          return null;
        });
        failing = tried === null;
        if (tried === null || tried < settings.batch) await clock.sleep(settings.roundMs, signal);
      }
    },
  };
}

async function deliver(
  parts: CourierParts,
  delivery: Delivery,
  settings: CourierSettings,
  signal: AbortSignal,
): Promise<void> {
  const result = await attempt(parts, delivery, signal);
  if (signal.aborted && result !== 'delivered') return;
  const now = await parts.now(parts.store);
  const outcome = outcomeOf(result, delivery.attempts, now, settings);
  await settleDelivery(parts.store, delivery, outcome, now);
  parts.metrics.count('paddock_webhook_deliveries_total', { outcome: outcome.outcome });
  if (outcome.outcome === 'delivered') return;
  const fields = {
    type: delivery.type,
    deviceId: delivery.deviceId,
    attempts: delivery.attempts,
    error: outcome.error,
  };
  const message = outcome.outcome === 'retry' ? 'The webhook failed and is tried again' : 'A notification is given up';
  parts.log.warn(fields, message);
}

async function attempt(parts: CourierParts, delivery: Delivery, signal: AbortSignal): Promise<AttemptResult> {
  const body = JSON.stringify({ type: delivery.type, timestamp: toInstant(delivery.occurredAt), data: delivery.data });
  const id = `msg_${delivery.id}_${delivery.occurredAt}`;
  try {
    const headers = await webhookHeaders(parts.key, id, parts.clock.wall(), body);
    const status = await parts.poster.post(headers, body, signal);
    return status >= 200 && status < 300 ? 'delivered' : { status };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

type AttemptResult = 'delivered' | { readonly status: number } | { readonly error: string };

/** RFC 9110, 15.5.11: Gone is meant to last, so trying again is useless. */
const GONE = 410;

/** What follows from an attempt: exponential back-off up to a bound, then the end. */
export function outcomeOf(result: AttemptResult, attempts: number, now: WallMs, settings: CourierSettings): Outcome {
  if (result === 'delivered') return { outcome: 'delivered' };
  const error = 'status' in result ? `answered ${result.status}` : result.error;
  const isGone = 'status' in result && result.status === GONE;
  if (isGone || attempts >= settings.maxAttempts) return { outcome: 'given_up', error };
  const waitMs = Math.min(settings.firstRetryMs * 2 ** (attempts - 1), settings.longestRetryMs);
  return { outcome: 'retry', at: wallMs(now + waitMs), error };
}
