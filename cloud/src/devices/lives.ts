import type { ClockRecord, LivedClock } from '../clock/clock.ts';
import type { ClosedEra } from '../clock/era.ts';
import { DeviceLife } from '../clock/life.ts';
import { unpackClock, unpackClosed, type PackedClock, type PackedRegion } from '../clock/packed.ts';
import type { Sql } from '../ports.ts';

/** A moment that is to be placed, by the clock that counted it. */
export interface ClockMoment {
  readonly boot_id: string;
  readonly segment: number;
  readonly uptime_ms: number;
}

interface ClockRow {
  readonly boot_id: string;
  readonly segment: number;
  readonly record: PackedClock;
  readonly newest_uptime_ms: number | null;
}

/**
 * A clock's row is written when it says more than before, and a newer uptime alone does not: the newest one stands with
 * its boot, for the last clock of it. Of a row of `clocks`, joined as `c`.
 */
export const NEWEST_UPTIME = `
  (SELECT b.newest_uptime_ms FROM boots b WHERE b.device_id = c.device_id AND b.boot_id = c.boot_id AND NOT EXISTS (
     SELECT FROM clocks l WHERE l.device_id = c.device_id AND l.boot_id = c.boot_id AND l.segment > c.segment))
  AS newest_uptime_ms`;

/** So many clocks on each side of one are asked what they know of it: as many boots may pass without an exchange. */
const NEIGHBOURS = 16;

const AROUND = `
  WITH wanted AS (
    SELECT c.ordinal, c.start, c.segment
    FROM unnest($2::text[], $3::integer[]) AS w (boot_id, segment)
    JOIN clocks c ON c.device_id = $1 AND c.boot_id = w.boot_id AND c.segment = w.segment
  ), near AS (
    SELECT ordinal, start, segment FROM wanted
    UNION
    SELECT n.* FROM wanted w CROSS JOIN LATERAL (
      SELECT c.ordinal, c.start, c.segment FROM clocks c
      WHERE c.device_id = $1 AND (c.ordinal, c.start, c.segment) < (w.ordinal, w.start, w.segment)
      ORDER BY c.ordinal DESC, c.start DESC, c.segment DESC LIMIT ${NEIGHBOURS}) n
    UNION
    SELECT n.* FROM wanted w CROSS JOIN LATERAL (
      SELECT c.ordinal, c.start, c.segment FROM clocks c
      WHERE c.device_id = $1 AND (c.ordinal, c.start, c.segment) > (w.ordinal, w.start, w.segment)
      ORDER BY c.ordinal, c.start, c.segment LIMIT ${NEIGHBOURS}) n
  )
  SELECT c.boot_id, c.segment, c.record, ${NEWEST_UPTIME}
  FROM near n JOIN clocks c
    ON c.device_id = $1 AND (c.ordinal, c.start, c.segment) = (n.ordinal, n.start, n.segment)
  ORDER BY c.ordinal, c.start, c.segment`;

const NEWEST = `
  SELECT w.device_id, n.boot_id, n.segment, n.record, n.newest_uptime_ms
  FROM unnest($1::text[]) AS w (device_id) CROSS JOIN LATERAL (
    SELECT c.*, ${NEWEST_UPTIME} FROM clocks c WHERE c.device_id = w.device_id
    ORDER BY c.ordinal DESC, c.start DESC, c.segment DESC LIMIT ${NEIGHBOURS}) n
  ORDER BY n.ordinal, n.start, n.segment`;

const HISTORY = `
  SELECT DISTINCT ON (h.boot_id, h.segment, h.from_uptime_ms, h.to_uptime_ms)
    h.boot_id, h.segment, h.from_uptime_ms, h.to_uptime_ms, h.region
  FROM unnest($2::text[], $3::integer[], $4::double precision[], $5::double precision[])
    AS w (boot_id, segment, first, last)
  JOIN clock_history h ON h.device_id = $1 AND h.boot_id = w.boot_id AND h.segment = w.segment
    AND h.to_uptime_ms >= w.first AND h.from_uptime_ms <= w.last`;

/**
 * What places moments of one device by all that is known now: their clocks, the clocks before and after, and what was
 * put away of them. Two queries, however many moments.
 */
export async function lifeAround(sql: Sql, deviceId: string, moments: readonly ClockMoment[]): Promise<DeviceLife> {
  const wanted = spansOf(moments);
  if (wanted.length === 0) return new DeviceLife([]);
  const rows = await sql.query<ClockRow>(AROUND, [
    deviceId,
    wanted.map(({ bootId }) => bootId),
    wanted.map(({ segment }) => segment),
  ]);
  const clocks = rows.map((row) => livedOf(row));
  const history = await readHistory(sql, deviceId, [...wanted, ...clocks.flatMap(endsOf)]);
  return new DeviceLife(clocks.map((clock) => ({ ...clock, closed: history.get(keyOf(clock)) ?? [] })));
}

/** The same for the newest moments of many devices, without what was put away: that is older. */
export async function newestLives(sql: Sql, deviceIds: readonly string[]): Promise<ReadonlyMap<string, DeviceLife>> {
  if (deviceIds.length === 0) return new Map();
  const rows = await sql.query<ClockRow & { device_id: string }>(NEWEST, [[...deviceIds]]);
  const clocks = Map.groupBy(rows, (row) => row.device_id);
  return new Map([...clocks].map(([deviceId, its]) => [deviceId, new DeviceLife(its.map((row) => livedOf(row)))]));
}

/** A clock alone: for the newest moments of one that exchanges, its neighbours have nothing to add. */
export const lifeOfClock = (clock: LivedClock | null): DeviceLife => new DeviceLife(clock ? [clock] : []);

/** Whether an exchange bounds the clock from below. */
export const hasExchanged = ({ era }: ClockRecord): boolean => era.region.lower.length > 0;

const livedOf = (row: ClockRow): LivedClock => ({
  bootId: row.boot_id,
  segment: row.segment,
  record: recordOf(row),
  closed: [],
});

export function recordOf({ record, newest_uptime_ms }: Pick<ClockRow, 'record' | 'newest_uptime_ms'>): ClockRecord {
  const known = unpackClock(record);
  return { ...known, lastUptimeMs: Math.max(known.lastUptimeMs, newest_uptime_ms ?? 0) };
}

interface Span {
  readonly bootId: string;
  readonly segment: number;
  readonly first: number;
  readonly last: number;
}

type ClockName = Pick<Span, 'bootId' | 'segment'>;
const keyOf = ({ bootId, segment }: ClockName): string => `${bootId} ${segment}`;

/** From the first to the last moment on each clock. */
function spansOf(moments: readonly ClockMoment[]): Span[] {
  const spans = new Map<string, Span>();
  for (const { boot_id: bootId, segment, uptime_ms } of moments) {
    const key = keyOf({ bootId, segment });
    const { first, last } = spans.get(key) ?? { first: uptime_ms, last: uptime_ms };
    spans.set(key, { bootId, segment, first: Math.min(first, uptime_ms), last: Math.max(last, uptime_ms) });
  }
  return [...spans.values()];
}

/** Where a clock meets its neighbours: at its beginning, which a suspend moves, and at the last that was heard of it. */
function endsOf({ bootId, segment, record }: LivedClock, at: number, clocks: readonly LivedClock[]): Span[] {
  const before = clocks[at - 1];
  const beginning = before?.bootId === bootId ? before.record.lastUptimeMs : 0;
  return [beginning, record.lastUptimeMs].map((uptimeMs) => ({ bootId, segment, first: uptimeMs, last: uptimeMs }));
}

async function readHistory(sql: Sql, deviceId: string, spans: readonly Span[]): Promise<Map<string, ClosedEra[]>> {
  const rows = await sql.query<{
    boot_id: string;
    segment: number;
    from_uptime_ms: number;
    to_uptime_ms: number;
    region: PackedRegion;
  }>(HISTORY, [
    deviceId,
    spans.map(({ bootId }) => bootId),
    spans.map(({ segment }) => segment),
    spans.map(({ first }) => first),
    spans.map(({ last }) => last),
  ]);
  const pieces = Map.groupBy(rows, (row) => keyOf({ bootId: row.boot_id, segment: row.segment }));
  return new Map([...pieces].map(([key, its]) => [key, its.map(unpackClosed)]));
}
