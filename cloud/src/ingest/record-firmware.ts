import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import { toInstant } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { PlacedReport } from './reconcile.ts';
import { intervalColumns } from './record-time.ts';

// Written only where it says something else: most reports say of firmware what the one before did.
const WRITE = `
  INSERT INTO device_firmware AS f (device_id, reported, name, sha256, committed, desired_epoch, desired_version,
    desired_error, received_at)
  SELECT device_id, n.reported, n.name, n.sha256, n.committed, n.desired_epoch, n.desired_version,
    nullif(n.desired_error, 'null'), n.received_at
  FROM json_to_recordset($1) AS n (device_id text, reported jsonb, name text, sha256 text, committed boolean,
    desired_epoch bigint, desired_version bigint, desired_error jsonb, received_at timestamptz)
  LEFT JOIN device_firmware o USING (device_id)
  WHERE (o.reported, o.desired_epoch, o.desired_version, o.desired_error)
    IS DISTINCT FROM (n.reported, n.desired_epoch, n.desired_version, nullif(n.desired_error, 'null'))
  ORDER BY device_id
  ON CONFLICT (device_id) DO UPDATE SET reported = EXCLUDED.reported, name = EXCLUDED.name, sha256 = EXCLUDED.sha256,
    committed = EXCLUDED.committed, desired_epoch = EXCLUDED.desired_epoch, desired_version = EXCLUDED.desired_version,
    desired_error = EXCLUDED.desired_error, received_at = EXCLUDED.received_at
  RETURNING device_id`;

// What was the newest report until this batch does not show it yet: it is the last of the archive before this one, the
// batch left out.
const ADD_CHANGES = `
  INSERT INTO firmware_changes (device_id, name, version, counter, sha256, slot, incarnation, start, sequence, boot_id,
    segment, uptime_ms, received_at, earliest, latest, basis, before_boot_id, before_segment, before_uptime_ms,
    before_received_at, before_earliest, before_latest, before_basis)
  SELECT n.device_id, n.name, n.version, n.counter, n.sha256, n.slot, n.incarnation, n.start, n.sequence, n.boot_id,
    n.segment, n.uptime_ms, n.received_at, n.earliest, n.latest, n.basis, b.boot_id, b.segment, b.uptime_ms,
    b.received_at, b.earliest, b.latest, b.basis
  FROM json_to_recordset($1) AS n (device_id text, name text, version text, counter bigint, sha256 text, slot text,
    incarnation text, start bigint, sequence bigint, boot_id text, segment integer, uptime_ms bigint,
    received_at timestamptz, earliest timestamptz, latest timestamptz, basis text, batch text[])
  LEFT JOIN LATERAL (
    SELECT c.change_id, c.name, c.counter, c.sha256 FROM firmware_changes c WHERE c.device_id = n.device_id
    ORDER BY c.change_id DESC LIMIT 1) l ON true
  LEFT JOIN LATERAL (
    SELECT r.* FROM reports r
    WHERE r.device_id = n.device_id AND r.incarnation = n.incarnation AND (r.start, r.sequence) < (n.start, n.sequence)
      AND r.start || ' ' || r.sequence <> ALL (n.batch)
    ORDER BY r.start DESC, r.sequence DESC LIMIT 1) b ON true
  WHERE l.change_id IS NULL OR (l.name, l.counter, l.sha256) IS DISTINCT FROM (n.name, n.counter, n.sha256)
  ORDER BY n.device_id`;

/**
 * Writes what devices say of their firmware, and a row of history where what one runs and has committed is another
 * release than before. Invariant: it moves forward with the last known state, whose rows this transaction holds.
 * @param newest the reports that became the last known state of their devices
 * @param batch all reports of the batch
 */
export async function recordFirmware(
  sql: Sql,
  newest: readonly PlacedReport[],
  batch: readonly PlacedReport[],
): Promise<void> {
  const telling = newest.filter(({ message }) => message.report.firmware !== undefined);
  if (telling.length === 0) return;
  const written = await sql.query<{ device_id: string }>(WRITE, [JSON.stringify(telling.flatMap(stateRow))]);
  const ids = new Set(written.map(({ device_id }) => device_id));
  const settled = telling.filter(({ message }) => ids.has(message.deviceId) && message.report.firmware?.committed);
  if (settled.length === 0) return;
  const places = Map.groupBy(batch, ({ message }) => message.deviceId);
  const rows = settled.flatMap((placed) => changeRow(placed, places.get(placed.message.deviceId) ?? []));
  await sql.query(ADD_CHANGES, [JSON.stringify(rows)]);
}

function stateRow({ message: { deviceId, report, receivedAt } }: PlacedReport) {
  const { firmware, desired } = report;
  if (firmware === undefined) return [];
  const row = {
    device_id: deviceId,
    reported: known(firmware),
    name: firmware.running?.name ?? null,
    sha256: firmware.running?.sha256 ?? null,
    committed: firmware.committed,
    desired_epoch: desired?.epoch ?? null,
    desired_version: desired?.version ?? null,
    desired_error: desired?.errors?.['firmware'] ?? null,
    received_at: toInstant(receivedAt),
  };
  return [row];
}

/** Without what a newer program may say besides: it is in the report, and nobody here bounds it. */
function known(firmware: ReportedFirmware): ReportedFirmware {
  const { status, state, slot, running, committed, target, progressPercent, error, metadata, quarantined } = firmware;
  return {
    status,
    state,
    slot,
    running: running && releaseOf(running),
    committed,
    ...(target && { target: releaseOf(target) }),
    ...(progressPercent !== undefined && { progressPercent }),
    ...(error && { error: { code: error.code, ...(error.detail !== undefined && { detail: error.detail }) } }),
    ...(metadata && { metadata: versionsOf(metadata) }),
    ...(quarantined && { quarantined }),
  };
}

type Release = NonNullable<ReportedFirmware['running']>;
const releaseOf = ({ name, version, counter, sha256 }: Release): Release => ({ name, version, counter, sha256 });

type Versions = NonNullable<ReportedFirmware['metadata']>;
const versionsOf = ({ root, timestamp, snapshot, targets }: Versions): Versions => ({
  root,
  ...(timestamp !== undefined && { timestamp }),
  ...(snapshot !== undefined && { snapshot }),
  ...(targets !== undefined && { targets }),
});

function changeRow(
  { message: { deviceId, report, receivedAt }, interval }: PlacedReport,
  batch: readonly PlacedReport[],
) {
  const { firmware } = report;
  if (firmware === undefined) return [];
  const { name = null, version = null, counter = null, sha256 = null } = firmware.running ?? {};
  const row = {
    device_id: deviceId,
    name,
    version,
    counter,
    sha256,
    slot: firmware.slot,
    incarnation: report.incarnation,
    start: report.start,
    sequence: report.sequence,
    boot_id: report.boot.id,
    segment: report.segment ?? 0,
    uptime_ms: report.uptimeMs,
    received_at: toInstant(receivedAt),
    ...intervalColumns(interval),
    batch: batch.map(({ message }) => `${message.report.start} ${message.report.sequence}`),
  };
  return [row];
}
