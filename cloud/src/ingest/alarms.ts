import { REFUSALS, type RefusalCode } from '@paddock/shared/errors.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { CLOCK_FAULTS } from '../clock/evidence.ts';
import type { NotificationType } from '../monitoring/notifications.ts';
import type { ErrorAt, Sql } from '../ports.ts';
import type { Decision } from './decide.ts';
import type { NewIncarnation } from './first-contact.ts';
import type { StartEntry } from './ledger.ts';
import type { PlacedReport } from './reconcile.ts';
import { intervalColumns } from './record-time.ts';

/** Something about a device that operators are told of. */
export interface Alarm {
  readonly type: Extract<NotificationType, 'device.clock' | 'device.clone' | 'device.new-incarnation'>;
  readonly data: Readonly<Record<string, unknown>> & {
    readonly deviceId: string;
    readonly code: string;
    readonly detail: string;
  };
}

/** What one device cannot do alone, unless its disk forgets: it takes two that hold one key. */
const CLONE_CODES: readonly RefusalCode[] = ['identity_conflict', 'boot_conflict', 'uptime_backwards'];

/**
 * A clone goes on and on: of the same alarm one an hour is told. One of the future was told by a clock that was ahead:
 * it must not keep others quiet until then.
 */
const QUIET_FOR_MS = 3_600_000;

const ADD_ALARMS = `
  INSERT INTO notifications (type, occurred_at, device_id, customer_id, data, next_attempt_at)
  SELECT n.type, $2, n.device_id, d.customer_id,
    n.data || jsonb_build_object('customerId', d.customer_id, 'name', d.name), $2
  FROM json_to_recordset($1) AS n (type text, device_id text, data jsonb) JOIN devices d USING (device_id)
  WHERE NOT EXISTS (
    SELECT FROM notifications k WHERE k.device_id = n.device_id AND k.type = n.type
      AND k.data ->> 'code' = n.data ->> 'code' AND k.occurred_at > $3 AND k.occurred_at < $4)
  RETURNING type, data`;

/** A report of an older start, proved to be made after a newer start had reported: both are running. */
const LIVE_BESIDE = `
  SELECT w.device_id, w.incarnation, w.start
  FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::text[],
    $6::double precision[]) AS w (device_id, ordinal, start, earliest, incarnation, margin_ms)
  WHERE EXISTS (
    SELECT FROM starts s JOIN incarnations i USING (device_id, incarnation)
    WHERE s.device_id = w.device_id AND (i.ordinal, s.start) > (w.ordinal, w.start)
      AND s.first_received_at < w.earliest - w.margin_ms * interval '1 millisecond')`;

/** What a batch showed that needs a human's eye. */
export function alarmsOf({ outcomes, clocks }: Decision): Alarm[] {
  const clones = outcomes.flatMap(({ message: { deviceId, report }, verdict }): Alarm[] => {
    if (verdict.kind !== 'refused' || !CLONE_CODES.includes(verdict.code)) return [];
    const { incarnation, start, sequence } = report;
    const detail = REFUSALS[verdict.code].title;
    return [{ type: 'device.clone', data: { deviceId, code: verdict.code, detail, incarnation, start, sequence } }];
  });
  const odd = clocks.alarms.map(({ deviceId, bootId, code }): Alarm => ({
    type: 'device.clock',
    data: { deviceId, code, detail: CLOCK_FAULTS[code], bootId },
  }));
  return [...clones, ...odd];
}

/** Devices that were known under another state file before. */
export const livesOf = (newIncarnations: readonly NewIncarnation[]): Alarm[] =>
  newIncarnations
    .filter(({ ordinal }) => ordinal > 1)
    .map(({ device_id, incarnation, ordinal }): Alarm => ({
      type: 'device.new-incarnation',
      data: {
        deviceId: device_id,
        code: 'new_incarnation',
        detail: 'The device lost its state file, or its board was swapped',
        incarnation,
        ordinal,
      },
    }));

/**
 * Two starts of one device that are both running: a copy of its disk is.
 * @param late reports that did not become the last known state
 */
export async function liveClones(sql: Sql, late: readonly PlacedReport[], errorAt: ErrorAt): Promise<Alarm[]> {
  const bounded = late.flatMap(({ message, place, interval }) => {
    const { earliest } = intervalColumns(interval);
    return earliest === null ? [] : [{ message, place, earliest }];
  });
  if (bounded.length === 0) return [];
  const rows = await sql.query<Pick<StartEntry, 'incarnation' | 'start'> & { device_id: string }>(LIVE_BESIDE, [
    bounded.map(({ message }) => message.deviceId),
    bounded.map(({ place }) => place.ordinal),
    bounded.map(({ place }) => place.start),
    bounded.map(({ earliest }) => earliest),
    bounded.map(({ message }) => message.report.incarnation),
    bounded.map(({ message }) => 2 * errorAt(message.receivedAt)),
  ]);
  return rows.map(({ device_id, incarnation, start }) => ({
    type: 'device.clone',
    data: {
      deviceId: device_id,
      code: 'two_live_starts',
      detail: 'An older start still makes reports after a newer one has begun',
      incarnation,
      start,
    },
  }));
}

/**
 * Written with what it tells of, so that it is delivered at least once.
 * @returns those that were not told lately
 */
export async function addAlarms(sql: Sql, alarms: readonly Alarm[], at: number): Promise<readonly Alarm[]> {
  if (alarms.length === 0) return [];
  const once = new Map<string, Alarm>();
  for (const alarm of alarms) {
    const key = `${alarm.type} ${alarm.data.deviceId} ${alarm.data.code}`;
    if (!once.has(key)) once.set(key, alarm);
  }
  const rows = [...once.values()].map(({ type, data }) => ({ type, device_id: data.deviceId, data }));
  return sql.query<Alarm>(ADD_ALARMS, [
    JSON.stringify(rows),
    toInstant(wallMs(at)),
    toInstant(wallMs(at - QUIET_FOR_MS)),
    toInstant(wallMs(at + QUIET_FOR_MS)),
  ]);
}
