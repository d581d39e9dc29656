import type { Began } from '@paddock/shared/began.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { DeviceLife } from '../clock/life.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { beganView, endsOf, type BeganView } from './began.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from './cursor.ts';
import { scopeOf, whereOf } from './conditions.ts';
import { lifeAround } from './lives.ts';

/** What became of the reports of one start, counted by their sequences. */
export interface DeliveryView {
  readonly recorded: number;
  /** Null when nothing of the start is recorded. */
  readonly newestSequence: number | null;
  /** Sequences up to the newest that are not recorded. */
  readonly missing: number;
  /** What the device's own outbox had to drop, as it says. */
  readonly droppedRoutine: number;
  readonly droppedEvents: number;
  /** Of the missing, those that were refused for ever, as far as answers still name them. */
  readonly refused: number;
  /** Of the missing, those that are awaited no longer: their holes are too old and too many. */
  readonly abandoned: number;
  /** What is left of the missing: lost by the network or with the device's memory, or still on its way. */
  readonly lostOrOnTheWay: number;
}

export interface StartView extends DeliveryView {
  readonly incarnation: string;
  /** Place of the incarnation among those of the device, from 1. */
  readonly ordinal: number;
  readonly start: number;
  readonly bootId: string;
  readonly firstReceivedAt: string;
  readonly lastReceivedAt: string;
  /** Why it began, as the device says; null when it does not. */
  readonly began: BeganView | null;
}

/** Columns of a row of `starts`, joined as `st`. */
export const DELIVERY_COLUMNS = `
  upper(st.recorded) - 1 AS newest_sequence, st.settled_below, st.abandoned, st.dropped_routine, st.dropped_events,
  (SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM unnest(st.recorded) AS r) AS recorded_above,
  (SELECT count(DISTINCT j ->> 'sequence') FROM jsonb_array_elements(st.rejected) AS j
   WHERE (j ->> 'sequence')::bigint < upper(st.recorded) AND NOT st.recorded @> (j ->> 'sequence')::bigint) AS refused`;

export interface DeliveryRow {
  readonly newest_sequence: number | null;
  readonly settled_below: number;
  readonly abandoned: number;
  readonly dropped_routine: number;
  readonly dropped_events: number;
  readonly recorded_above: number;
  readonly refused: number;
}

/** Below `settled_below` every sequence is recorded or abandoned; above, the ranges say which are recorded. */
export function deliveryOf(row: DeliveryRow): DeliveryView {
  const { newest_sequence: newestSequence, refused } = row;
  const dropped = { droppedRoutine: row.dropped_routine, droppedEvents: row.dropped_events };
  if (newestSequence === null)
    return { recorded: 0, newestSequence, missing: 0, ...dropped, refused, abandoned: 0, lostOrOnTheWay: 0 };
  const recorded = row.settled_below - row.abandoned + row.recorded_above;
  const missing = newestSequence + 1 - recorded;
  const explained = row.dropped_routine + row.dropped_events + refused + row.abandoned;
  return {
    recorded,
    newestSequence,
    missing,
    ...dropped,
    refused,
    abandoned: row.abandoned,
    // What was dropped may have been recorded before, or abandoned: then this says too little, never too much.
    lostOrOnTheWay: Math.max(0, missing - explained),
  };
}

interface StartRow extends DeliveryRow {
  readonly incarnation: string;
  readonly ordinal: number;
  readonly start: number;
  readonly boot_id: string;
  readonly first_received_at: Date;
  readonly last_received_at: Date;
  readonly began: Began | null;
}

/**
 * A device's starts, newest first in its own order, with what became of their reports.
 * @throws CursorError
 */
export async function listStarts(
  { sql, cloudErrorMs }: { readonly sql: Sql; readonly cloudErrorMs: () => number },
  scope: Scope,
  deviceId: string,
  { limit, cursor }: PageRequest,
): Promise<Page<StartView>> {
  const key = cursor && decodeCursor(cursor, ['count', 'count']);
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ['st.device_id = ?', deviceId],
    ...(key
      ? ([
          [
            '(i.ordinal, st.start) < (SELECT (k ->> 0)::bigint, (k ->> 1)::bigint FROM (SELECT ?::jsonb AS k) AS cursor)',
            JSON.stringify(key),
          ],
        ] as const)
      : []),
  ]);
  const rows = await sql.query<StartRow>(
    `SELECT st.incarnation, i.ordinal, st.start, st.boot_id, st.first_received_at, st.last_received_at, st.began,
       ${DELIVERY_COLUMNS}
     FROM starts st
     JOIN incarnations i ON i.device_id = st.device_id AND i.incarnation = st.incarnation
     JOIN devices d ON d.device_id = st.device_id
     ${where} ORDER BY i.ordinal DESC, st.start DESC LIMIT ${limit + 1}`,
    values,
  );
  const life = await lifeAround(sql, deviceId, endsOf(rows.map(({ began }) => began)));
  return pageOf(
    rows,
    limit,
    (row) => [row.ordinal, row.start],
    (row) => startView(row, life, cloudErrorMs()),
  );
}

const startView = (row: StartRow, life: DeviceLife, cloudErrorMs: number): StartView => ({
  incarnation: row.incarnation,
  ordinal: row.ordinal,
  start: row.start,
  bootId: row.boot_id,
  firstReceivedAt: instant(row.first_received_at),
  lastReceivedAt: instant(row.last_received_at),
  began: beganView(row.began, life, wallMs(row.first_received_at.getTime() + 1 + cloudErrorMs)),
  ...deliveryOf(row),
});

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
