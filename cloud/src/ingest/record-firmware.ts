import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import { toInstant } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { PlacedReport } from './reconcile.ts';
import { recordRuns } from './record-runs.ts';

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
    desired_error = EXCLUDED.desired_error, received_at = EXCLUDED.received_at,
    judged = f.judged AND (f.sha256, f.committed) IS NOT DISTINCT FROM (EXCLUDED.sha256, EXCLUDED.committed)
  RETURNING device_id`;

/**
 * Writes what devices say of their firmware, and what they ran and have committed, in their own order. Invariant: what is
 * known of now moves forward with the last known state, whose rows this transaction holds.
 * @param newest the reports that became the last known state of their devices
 * @param batch all reports of the batch
 */
export async function recordFirmware(
  sql: Sql,
  newest: readonly PlacedReport[],
  batch: readonly PlacedReport[],
): Promise<void> {
  const telling = newest.filter(({ message }) => message.report.firmware !== undefined);
  const written =
    telling.length === 0
      ? []
      : await sql.query<{ device_id: string }>(WRITE, [JSON.stringify(telling.flatMap(stateRow))]);
  const changed = new Set(written.map(({ device_id }) => device_id));
  // The newest reports of most devices say what the one before did: what they ran is known.
  const same = new Set(telling.filter(({ message }) => !changed.has(message.deviceId)));
  const runs = batch.filter((placed) => placed.message.report.firmware?.committed && !same.has(placed));
  const current = new Set(newest);
  const [first, others] = [runs.filter((one) => current.has(one)), runs.filter((one) => !current.has(one))];
  await recordRuns(sql, [...first, ...others]);
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
