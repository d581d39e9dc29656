import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { FleetVerdict, Transition } from './fleet.ts';

/** What operators are told. */
export const NOTIFICATION_TYPES = [
  'device.lost',
  'device.back',
  'fleet.silent',
  'fleet.back',
  'cloud.clock-disagrees',
  'cloud.clock-agrees',
  'device.clock',
  'device.clone',
  'device.new-incarnation',
  'device.inventory',
  'device.crash',
  'assignment.halted',
  'assignment.left',
] as const;
export type NotificationType = (typeof NOTIFICATION_TYPES)[number];

export interface Notice {
  readonly type: NotificationType;
  readonly occurredAt: WallMs;
  readonly deviceId: string | null;
  readonly customerId: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A notice on its way, with how often its delivery was tried (this time included). */
export interface Delivery extends Notice {
  readonly id: number;
  readonly attempts: number;
}

/** Which changes are worth a message: a device is lost, and it is back (or said goodbye at last). */
export function noticesOf(transitions: readonly Transition[], now: WallMs): Notice[] {
  return transitions.flatMap((transition) => {
    const type = noticeType(transition);
    if (type === null) return [];
    const { deviceId, customerId, name, state, previous, heardAt, cause = null } = transition;
    const lastHeardAt = heardAt === null ? null : toInstant(heardAt);
    const why = type === 'device.back' ? { cause } : {};
    const data = { deviceId, customerId, name, presence: state, previous, lastHeardAt, ...why };
    return [{ type, occurredAt: now, deviceId, customerId, data }];
  });
}

function noticeType({ state, previous }: Transition): NotificationType | null {
  if (state === 'lost') return 'device.lost';
  return previous === 'lost' && (state === 'online' || state === 'offline') ? 'device.back' : null;
}

/** The beginning or the end of a fleet's silence; nothing while it lasts. */
export function fleetNotices(verdict: FleetVerdict, wasSilent: boolean, now: WallMs): Notice[] {
  if (verdict.silent === wasSilent) return [];
  const { silentCount, expectedCount } = verdict;
  const type = verdict.silent ? 'fleet.silent' : 'fleet.back';
  return [{ type, occurredAt: now, deviceId: null, customerId: null, data: { silentCount, expectedCount } }];
}

export async function addNotices(sql: Sql, notices: readonly Notice[]): Promise<void> {
  if (notices.length === 0) return;
  const rows = notices.map((notice) => ({ ...notice, occurredAt: toInstant(notice.occurredAt) }));
  await sql.query(
    `INSERT INTO notifications (type, occurred_at, device_id, customer_id, data, next_attempt_at)
     SELECT type, "occurredAt", "deviceId", "customerId", data, "occurredAt"
     FROM jsonb_to_recordset($1::jsonb) AS x(type text, "occurredAt" timestamptz, "deviceId" text, "customerId" text, data jsonb)`,
    [JSON.stringify(rows)],
  );
}

/** Forgets what was settled long ago, so that the table stays bounded. */
export async function forgetNotices(sql: Sql, before: WallMs): Promise<void> {
  await sql.query('DELETE FROM notifications WHERE occurred_at < $1', [toInstant(before)]);
}

interface DeliveryRow {
  notification_id: number;
  type: NotificationType;
  occurred_at: Date;
  device_id: string | null;
  customer_id: string | null;
  data: Record<string, unknown>;
  attempts: number;
}

/**
 * Takes due notices for delivery, oldest first: nobody else gets them until the lease is over.
 * @param leaseMs longer than a delivery can take
 */
export async function leaseDeliveries(sql: Sql, now: WallMs, leaseMs: number, limit: number): Promise<Delivery[]> {
  const rows = await sql.query<DeliveryRow>(
    `UPDATE notifications SET attempts = attempts + 1, next_attempt_at = $2
     WHERE notification_id IN (
       SELECT notification_id FROM notifications
       WHERE delivered_at IS NULL AND given_up_at IS NULL AND next_attempt_at <= $1
       ORDER BY notification_id LIMIT $3 FOR UPDATE SKIP LOCKED)
     RETURNING notification_id, type, occurred_at, device_id, customer_id, data, attempts`,
    [toInstant(now), toInstant(wallMs(now + leaseMs)), limit],
  );
  return rows.map(deliveryOf).toSorted((a, b) => a.id - b.id);
}

function deliveryOf(row: DeliveryRow): Delivery {
  return {
    id: row.notification_id,
    type: row.type,
    occurredAt: wallMs(row.occurred_at.getTime()),
    deviceId: row.device_id,
    customerId: row.customer_id,
    data: row.data,
    attempts: row.attempts,
  };
}

/** What became of an attempt. */
export type Outcome =
  | { readonly outcome: 'delivered' }
  | { readonly outcome: 'retry'; readonly at: WallMs; readonly error: string }
  | { readonly outcome: 'given_up'; readonly error: string };

const OWN_ATTEMPT = 'WHERE notification_id = $1 AND attempts = $2 AND delivered_at IS NULL';

/**
 * Writes down what became of an attempt. Attempts are counted when they are leased: who stood still until another
 * instance took the notice over settles nothing any more, unless it is delivered.
 */
export async function settleDelivery(
  sql: Sql,
  { id, attempts }: Pick<Delivery, 'id' | 'attempts'>,
  outcome: Outcome,
  now: WallMs,
): Promise<void> {
  const at = toInstant(now);
  if (outcome.outcome === 'delivered')
    await sql.query('UPDATE notifications SET delivered_at = $2, last_error = NULL WHERE notification_id = $1', [
      id,
      at,
    ]);
  else if (outcome.outcome === 'given_up')
    await sql.query(`UPDATE notifications SET given_up_at = $3, last_error = $4 ${OWN_ATTEMPT}`, [
      id,
      attempts,
      at,
      outcome.error,
    ]);
  else
    await sql.query(`UPDATE notifications SET next_attempt_at = $3, last_error = $4 ${OWN_ATTEMPT}`, [
      id,
      attempts,
      toInstant(outcome.at),
      outcome.error,
    ]);
}
