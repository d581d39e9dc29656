import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { packClock, packRegion } from '../clock/packed.ts';
import type { Sql } from '../ports.ts';
import type { BatchClocks, ClockEntry, ClosedBounds, PlacedReport } from './reconcile.ts';
import type { SeenChanges } from './seen-changes.ts';

const UPSERT_CLOCKS = `
  INSERT INTO clocks AS c (device_id, boot_id, segment, ordinal, start, record, faults)
  SELECT device_id, boot_id, segment, ordinal, start, record, ARRAY(SELECT json_array_elements_text(faults))
  FROM json_to_recordset($1) AS n (device_id text, boot_id text, segment integer, ordinal integer, start bigint,
    record jsonb, faults json)
  ORDER BY device_id, boot_id, segment
  ON CONFLICT (device_id, boot_id, segment) DO UPDATE SET record = EXCLUDED.record, faults = EXCLUDED.faults`;

const ADD_HISTORY = `
  INSERT INTO clock_history (device_id, boot_id, segment, from_uptime_ms, to_uptime_ms, region)
  SELECT device_id, boot_id, segment, from_uptime_ms, to_uptime_ms, region
  FROM json_to_recordset($1) AS n (device_id text, boot_id text, segment integer, from_uptime_ms double precision,
    to_uptime_ms double precision, region jsonb)`;

// A change that was first told without a value to trust gets it from the first report that has one.
const ADD_CHANGES = `
  INSERT INTO changes AS c (device_id, incarnation, start, sensor, changes, boot_id, segment, uptime_ms, value,
    earliest, latest, basis, received_at)
  SELECT device_id, incarnation, start, sensor, changes, boot_id, segment, uptime_ms, nullif(value, 'null'::jsonb),
    earliest, latest, basis, received_at
  FROM json_to_recordset($1) AS n (device_id text, incarnation text, start bigint, sensor text, changes bigint,
    boot_id text, segment integer, uptime_ms bigint, value jsonb, earliest timestamptz, latest timestamptz,
    basis text, received_at timestamptz)
  ORDER BY device_id, incarnation, start, sensor, changes
  ON CONFLICT (device_id, incarnation, start, sensor, changes) DO UPDATE SET value = EXCLUDED.value
    WHERE c.value IS NULL AND EXCLUDED.value IS NOT NULL`;

/** Writes what a batch says of clocks and of changes. */
export async function recordTime(
  sql: Sql,
  { news, closed }: Pick<BatchClocks, 'news' | 'closed'>,
  reports: readonly PlacedReport[],
  seen: SeenChanges,
): Promise<void> {
  if (news.length > 0) await sql.query(UPSERT_CLOCKS, [JSON.stringify(news.map(clockRow))]);
  if (closed.length > 0) await sql.query(ADD_HISTORY, [JSON.stringify(closed.map(historyRow))]);
  const changes = changeRows(reports, seen);
  if (changes.length > 0) await sql.query(ADD_CHANGES, [JSON.stringify(changes)]);
}

const clockRow = ({ deviceId, bootId, segment, ordinal, start, record, faults }: ClockEntry) => ({
  device_id: deviceId,
  boot_id: bootId,
  segment,
  ordinal,
  start,
  record: packClock(record),
  faults,
});

const historyRow = ({ clock, era }: ClosedBounds) => ({
  device_id: clock.deviceId,
  boot_id: clock.bootId,
  segment: clock.segment,
  from_uptime_ms: era.fromUptimeMs,
  to_uptime_ms: era.toUptimeMs,
  region: packRegion(era.region),
});

/** Each change once, told by the report that has its value where one has. */
function changeRows(reports: readonly PlacedReport[], seen: SeenChanges) {
  const rows = new Map<string, ReturnType<typeof changeRow>>();
  for (const report of reports)
    for (const change of report.changes) {
      const { deviceId, report: told } = report.message;
      if (seen.has(report.message, change)) continue;
      const key = `${deviceId} ${told.incarnation} ${told.start} ${change.sensor} ${change.changes}`;
      if ((rows.get(key)?.value ?? null) === null) rows.set(key, changeRow(report, change));
    }
  return [...rows.values()];
}

const changeRow = (
  { message: { deviceId, report, receivedAt } }: PlacedReport,
  change: PlacedReport['changes'][0],
) => ({
  device_id: deviceId,
  incarnation: report.incarnation,
  start: report.start,
  sensor: change.sensor,
  changes: change.changes,
  boot_id: report.boot.id,
  segment: report.segment ?? 0,
  uptime_ms: change.uptimeMs,
  value: change.value,
  ...intervalColumns(change.interval),
  received_at: toInstant(receivedAt),
});

/** What RFC 3339 and PostgreSQL both can write: the years 1 to 9999. */
const FIRST_MS = -62_135_596_800_000;
const LAST_MS = 253_402_300_799_999;

/** In whole ms, rounded outwards. An absurd uptime places a moment beyond every calendar: that bounds nothing. */
export const intervalColumns = ({ earliest, latest, basis }: PlacedReport['interval']) => ({
  earliest:
    earliest === null || earliest < FIRST_MS ? null : toInstant(wallMs(Math.min(Math.floor(earliest), LAST_MS))),
  latest: toInstant(wallMs(Math.min(Math.max(Math.ceil(latest), FIRST_MS), LAST_MS))),
  basis,
});
