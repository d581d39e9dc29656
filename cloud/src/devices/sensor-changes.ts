import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { placeChange } from '../clock/changes.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { scopeOf, whereOf, type Condition } from './conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from './cursor.ts';
import { lifeAround } from './lives.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from './placement.ts';

/** The moment at which a binary or enum reading changed; whichever report told of it, it stands here once. */
export interface ChangeView {
  readonly sensor: string;
  /** What it changed to; null while every report that told of it had no value to trust. */
  readonly value: boolean | number | string | null;
  readonly incarnation: string;
  readonly start: number;
  /** The sensor's count of changes since the start: with the three above it names the change for ever. */
  readonly changes: number;
  /** Changes of this sensor right before this one that no report told of. */
  readonly unseen: number;
  readonly bootId: string;
  readonly uptimeMs: number;
  readonly time: TimeView;
}

export interface ChangeFilter {
  readonly sensor?: string;
  /** Changes of which the latest moment lies from here on, RFC 3339, as they were placed on arrival. */
  readonly from?: string;
  /** And before. */
  readonly to?: string;
}

interface ChangeRow extends PlacedRow {
  readonly incarnation: string;
  readonly start: number;
  readonly sensor: string;
  readonly changes: number;
  readonly value: boolean | number | string | null;
  readonly told_before: number | null;
}

// The columns of the order are never written again, so that pages stay what they are while clocks learn.
const CHANGES = `
  SELECT c.incarnation, c.start, c.sensor, c.changes, c.value, c.boot_id, c.segment, c.uptime_ms,
    c.received_at, c.earliest, c.latest, c.basis, p.changes AS told_before
  FROM changes c
  JOIN devices d ON d.device_id = c.device_id
  LEFT JOIN LATERAL (
    SELECT b.changes FROM changes b
    WHERE (b.device_id, b.incarnation, b.start, b.sensor) = (c.device_id, c.incarnation, c.start, c.sensor)
      AND b.changes < c.changes
    ORDER BY b.changes DESC LIMIT 1) p ON true`;

const NEWEST_FIRST = 'ORDER BY c.latest DESC, c.incarnation DESC, c.start DESC, c.sensor DESC, c.changes DESC';
const BEYOND_CURSOR = `(c.latest, c.incarnation, c.start, c.sensor, c.changes) <
  (SELECT (k ->> 0)::timestamptz, k ->> 1, (k ->> 2)::bigint, k ->> 3, (k ->> 4)::bigint
   FROM (SELECT ?::jsonb AS k) AS cursor)`;

/**
 * A device's changes, newest first, each placed by all that is known now.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 * @throws CursorError
 */
export async function listChanges(
  { sql, cloudErrorMs }: { readonly sql: Sql; readonly cloudErrorMs: () => number },
  scope: Scope,
  deviceId: string,
  filter: ChangeFilter,
  { limit, cursor }: PageRequest,
): Promise<Page<ChangeView>> {
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ['c.device_id = ?', deviceId],
    ...filterOf(filter),
    ...beyond(cursor),
  ]);
  const rows = await sql.query<ChangeRow>(`${CHANGES} ${where} ${NEWEST_FIRST} LIMIT ${limit + 1}`, values);
  const life = await lifeAround(sql, deviceId, rows);
  return pageOf(rows, limit, keyOf, (row) =>
    changeView(row, timeView(placeChange(life, momentOf(row, cloudErrorMs())))),
  );
}

function filterOf({ sensor, from, to }: ChangeFilter): Condition[] {
  const conditions: readonly (readonly [string, string | undefined])[] = [
    ['c.sensor = ?', sensor],
    ['c.latest >= ?', from],
    ['c.latest < ?', to],
  ];
  return conditions.flatMap(([sql, value]) => (value === undefined ? [] : [[sql, value] as const]));
}

/** Said twice, because only the plain comparison finds its place in the index. */
function beyond(cursor: string | undefined): Condition[] {
  if (cursor === undefined) return [];
  const key = decodeCursor(cursor, ['instant', 'text', 'count', 'text', 'count']);
  return [
    ['c.latest <= ?', key[0]],
    [BEYOND_CURSOR, JSON.stringify(key)],
  ];
}

const changeView = (row: ChangeRow, time: TimeView): ChangeView => ({
  sensor: row.sensor,
  value: row.value,
  incarnation: row.incarnation,
  start: row.start,
  changes: row.changes,
  unseen: row.changes - 1 - (row.told_before ?? 0),
  bootId: row.boot_id,
  uptimeMs: row.uptime_ms,
  time,
});

const keyOf = (row: ChangeRow) => [
  toInstant(wallMs(row.latest.getTime())),
  row.incarnation,
  row.start,
  row.sensor,
  row.changes,
];
