import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { ClockFault } from '../clock/evidence.ts';
import type { DeviceLife } from '../clock/life.ts';
import type { PackedClock } from '../clock/packed.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { rateView, type RateView } from './clock-view.ts';
import { scopeOf, whereOf } from './conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from './cursor.ts';
import { hasExchanged, lifeAround, NEWEST_UPTIME, recordOf } from './lives.ts';
import { timeView, type TimeView } from './placement.ts';

/** What is known of one clock of a device: of a boot, or of what lies between two suspends of it. */
export interface ListedClock extends RateView {
  readonly bootId: string;
  readonly segment: number;
  /** Why the machine booted, where that is known. */
  readonly reason: string | null;
  /** The first start that was heard of it. */
  readonly start: number;
  readonly firstReceivedAt: string;
  readonly lastReceivedAt: string;
  /** When the boot began; null for what comes after a suspend. */
  readonly began: TimeView | null;
  /** The newest moment that was told of it, by its uptime and in true time. */
  readonly lastUptimeMs: number;
  readonly last: TimeView;
  /** Whether an exchange bounds it from below. */
  readonly exchanged: boolean;
}

interface ClockRow {
  readonly boot_id: string;
  readonly segment: number;
  readonly ordinal: number;
  readonly start: number;
  readonly record: PackedClock;
  readonly newest_uptime_ms: number | null;
  readonly faults: ClockFault[];
  readonly reason: string | null;
  readonly first_received_at: Date;
  readonly last_received_at: Date;
}

const BEYOND_CURSOR = `(c.ordinal, c.start, c.segment) <
  (SELECT (k ->> 0)::bigint, (k ->> 1)::bigint, (k ->> 2)::bigint FROM (SELECT ?::jsonb AS k) AS cursor)`;

/**
 * A device's clocks, newest first in its own order.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 * @throws CursorError
 */
export async function listClocks(
  { sql, cloudErrorMs }: { readonly sql: Sql; readonly cloudErrorMs: () => number },
  scope: Scope,
  deviceId: string,
  { limit, cursor }: PageRequest,
): Promise<Page<ListedClock>> {
  const key = cursor && decodeCursor(cursor, ['count', 'count', 'count']);
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ['c.device_id = ?', deviceId],
    ...(key ? ([[BEYOND_CURSOR, JSON.stringify(key)]] as const) : []),
  ]);
  const rows = await sql.query<ClockRow>(
    `SELECT c.boot_id, c.segment, c.ordinal, c.start, c.record, c.faults, b.reason, b.first_received_at,
       b.last_received_at, ${NEWEST_UPTIME}
     FROM clocks c
     JOIN boots b ON b.device_id = c.device_id AND b.boot_id = c.boot_id
     JOIN devices d ON d.device_id = c.device_id
     ${where} ORDER BY c.ordinal DESC, c.start DESC, c.segment DESC LIMIT ${limit + 1}`,
    values,
  );
  const life = await lifeAround(sql, deviceId, rows.map(lastOf));
  return pageOf(
    rows,
    limit,
    ({ ordinal, start, segment }) => [ordinal, start, segment],
    (row) => listed(row, life, cloudErrorMs()),
  );
}

const lastOf = (row: ClockRow) => ({ ...row, uptime_ms: recordOf(row).lastUptimeMs });

function listed(row: ClockRow, life: DeviceLife, cloudErrorMs: number): ListedClock {
  const { boot_id: bootId, segment } = row;
  const record = recordOf(row);
  const at = (uptimeMs: number, received: Date): TimeView =>
    timeView(life.place({ bootId, segment, uptimeMs, arrivedBy: wallMs(received.getTime() + 1 + cloudErrorMs) }));
  return {
    bootId,
    segment,
    reason: row.reason,
    start: row.start,
    firstReceivedAt: instant(row.first_received_at),
    lastReceivedAt: instant(row.last_received_at),
    began: segment === 0 ? at(0, row.first_received_at) : null,
    lastUptimeMs: record.lastUptimeMs,
    last: at(record.lastUptimeMs, row.last_received_at),
    exchanged: hasExchanged(record),
    ...rateView(record, row.faults),
  };
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
