import type { DesiredError, DesiredFirmware } from '@paddock/shared/desired.ts';
import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { Candidate } from './decide.ts';
import type { Heard } from './progress.ts';
import type { AssignmentState, DeviceState } from './states.ts';

/** What desired state may say besides the release. */
export type AssignmentOptions = Pick<DesiredFirmware, 'window' | 'overrideLock' | 'bytesPerSecond' | 'repository'>;

/** Whom an assignment is for, when it is no list: what is absent does not matter. */
export interface TargetFilter {
  readonly customer?: string | undefined;
  readonly site?: string | undefined;
  readonly model?: string | undefined;
  /** The name of the bundle that runs. */
  readonly running?: string | undefined;
  readonly presence?: string | undefined;
}

/** An assignment as the worker needs it. */
export interface AssignmentRow {
  readonly assignment_id: number;
  readonly customer_id: string | null;
  readonly name: string;
  readonly counter: number;
  readonly version: string;
  readonly sha256: string;
  readonly models: string[];
  readonly options: AssignmentOptions;
  readonly filter: TargetFilter | null;
  readonly standing: boolean;
  readonly cap: number;
  readonly halt_after: number;
  readonly stalled_after_ms: number;
  readonly state: AssignmentState;
  readonly counted_from: Date;
}

/** A device that was handed the release. */
export interface HandedDevice {
  readonly deviceId: string;
  readonly state: DeviceState;
  readonly code: string | null;
  readonly step: string | null;
  readonly percent: number | null;
  readonly handed: { readonly epoch: number; readonly version: number; readonly at: WallMs } | null;
  readonly previous: DesiredFirmware | null;
  readonly heard: Heard;
  /** What its desired state says of firmware now. */
  readonly desired: DesiredFirmware | null;
  readonly retired: boolean;
}

/** What is written of a device. */
export interface DeviceChange {
  readonly deviceId: string;
  readonly state: DeviceState;
  readonly code?: string | null;
  readonly detail?: string | null;
  readonly step?: string | null;
  readonly percent?: number | null;
}

export interface DeviceCounts {
  readonly waiting: number;
  readonly updating: number;
  readonly failures: number;
}

/** Any fixed number: who changes assignments does so alone, whichever instance, so that no two wait for each other. */
const LOCK = 7_233_660;

export const lockRollouts = (sql: Sql): Promise<unknown> => sql.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);

const COLUMNS = `assignment_id, customer_id, name, counter, version, sha256, models, options, filter, standing, cap,
  halt_after, stalled_after_ms, state, counted_from`;

/** To be called with the lock of rollouts. */
export async function assignmentAt(
  sql: Sql,
  assignmentId: number,
  customerId: string | null = null,
): Promise<AssignmentRow | null> {
  const [row] = await sql.query<AssignmentRow>(
    `SELECT ${COLUMNS} FROM assignments WHERE assignment_id = $1 AND ($2::text IS NULL OR customer_id = $2)`,
    [assignmentId, customerId],
  );
  return row ?? null;
}

// A device that could not at first and tried again by itself, unless a later assignment made it try.
const RECOVERED = `
  r.state = 'failed' AND f.committed AND f.sha256 = a.sha256 AND NOT EXISTS (
    SELECT FROM assignment_devices n
    WHERE n.device_id = r.device_id AND n.assignment_id > r.assignment_id)`;

// The newest first: of two that stand for one device the later one has it.
const AT_WORK = `
  SELECT assignment_id AS id FROM assignments WHERE state = 'active'
  UNION SELECT assignment_id FROM assignment_devices WHERE state IN ('updating', 'stalled')
  UNION SELECT assignment_id FROM assignment_devices r
    JOIN assignments a USING (assignment_id) JOIN device_firmware f USING (device_id)
    WHERE ${RECOVERED}
  ORDER BY id DESC`;

/** Those of which anything may have to be done. */
export const assignmentsAtWork = async (sql: Sql): Promise<number[]> =>
  (await sql.query<{ id: number }>(AT_WORK)).map(({ id }) => id);

interface HandedRow {
  readonly device_id: string;
  readonly state: DeviceState;
  readonly code: string | null;
  readonly step: string | null;
  readonly percent: number | null;
  readonly handed_epoch: number | null;
  readonly handed_version: number | null;
  readonly handed_at: Date | null;
  readonly previous: DesiredFirmware | null;
  readonly reported: ReportedFirmware | null;
  readonly desired_epoch: number | null;
  readonly desired_version: number | null;
  readonly desired_error: DesiredError | null;
  readonly received_at: Date | null;
  readonly heard_at: Date | null;
  readonly desired: DesiredFirmware | null;
  readonly retired: boolean;
}

const HANDED = `
  SELECT r.device_id, r.state, r.code, r.step, r.percent, r.handed_epoch, r.handed_version, r.handed_at, r.previous,
    f.reported, f.desired_epoch, f.desired_version, f.desired_error, f.received_at, s.heard_at,
    t.state -> 'firmware' AS desired, d.retired_at IS NOT NULL AS retired
  FROM assignment_devices r
  JOIN assignments a USING (assignment_id)
  JOIN devices d USING (device_id)
  LEFT JOIN device_firmware f USING (device_id)
  LEFT JOIN device_state s USING (device_id)
  LEFT JOIN desired_states t USING (device_id)`;

/** Devices that were handed the release and are not at their end, and those that failed and run it all the same. */
export async function handedDevices(sql: Sql, assignmentId: number): Promise<HandedDevice[]> {
  const rows = await sql.query<HandedRow>(
    `${HANDED} WHERE assignment_id = $1 AND (r.state IN ('updating', 'stalled') OR ${RECOVERED}) ORDER BY r.device_id`,
    [assignmentId],
  );
  return rows.map(handedOf);
}

function handedOf(row: HandedRow): HandedDevice {
  const { handed_epoch: epoch, handed_version: version, handed_at: at } = row;
  return {
    deviceId: row.device_id,
    state: row.state,
    code: row.code,
    step: row.step,
    percent: row.percent,
    handed: epoch === null || version === null || at === null ? null : { epoch, version, at: moment(at) },
    previous: row.previous,
    heard: heardOf(row),
    desired: row.desired,
    retired: row.retired,
  };
}

const heardOf = (row: HandedRow): Heard => ({
  firmware: row.reported,
  desired:
    row.desired_epoch === null || row.desired_version === null
      ? null
      : { epoch: row.desired_epoch, version: row.desired_version },
  desiredError: row.desired_error,
  changedAt: row.received_at && moment(row.received_at),
  heardAt: row.heard_at && moment(row.heard_at),
});

const moment = (date: Date): WallMs => wallMs(date.getTime());

const CANDIDATES = `
  SELECT * FROM (
    SELECT r.device_id AS "deviceId", coalesce(p.state IN ('online', 'late'), false) AS online,
      CASE WHEN d.retired_at IS NOT NULL THEN 'device_retired'
        WHEN d.model_id = ANY($2) THEN NULL ELSE 'model_unfit' END AS unfit,
      coalesce(f.committed AND f.sha256 = $3, false) AS runs
    FROM assignment_devices r
    JOIN devices d USING (device_id)
    LEFT JOIN presence p USING (device_id)
    LEFT JOIN device_firmware f USING (device_id)
    WHERE r.assignment_id = $1 AND r.state = 'waiting') AS c
  WHERE online OR runs OR unfit IS NOT NULL
  ORDER BY "deviceId" LIMIT $4`;

/** Devices that wait and of which something can be done now. @param limit how many at most */
export const candidatesOf = (
  sql: Sql,
  { assignment_id, models, sha256 }: Pick<AssignmentRow, 'assignment_id' | 'models' | 'sha256'>,
  limit: number,
): Promise<Candidate[]> => sql.query<Candidate>(CANDIDATES, [assignment_id, models, sha256, limit]);

const COUNTS = `
  SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state = 'updating') AS updating,
    count(*) FILTER (WHERE state IN ('failed', 'stalled') AND since >= $2) AS failures
  FROM assignment_devices WHERE assignment_id = $1`;

export async function countsOf(
  sql: Sql,
  { assignment_id, counted_from }: Pick<AssignmentRow, 'assignment_id' | 'counted_from'>,
): Promise<DeviceCounts> {
  const [counts] = await sql.query<DeviceCounts>(COUNTS, [assignment_id, toInstant(moment(counted_from))]);
  return counts ?? { waiting: 0, updating: 0, failures: 0 };
}

const WRITE = `
  UPDATE assignment_devices r SET state = n.state, code = n.code, detail = n.detail, step = n.step, percent = n.percent,
    since = CASE WHEN r.state = n.state THEN r.since ELSE clock_timestamp() END, told_at = clock_timestamp(), revision = nextval('state_revision')
  FROM json_to_recordset($2) AS n ("deviceId" text, state text, code text, detail text, step text, percent integer)
  WHERE r.assignment_id = $1 AND r.device_id = n."deviceId"`;

export async function writeDevices(sql: Sql, assignmentId: number, changes: readonly DeviceChange[]): Promise<void> {
  if (changes.length > 0) await sql.query(WRITE, [assignmentId, JSON.stringify(changes)]);
}

const HAND = `
  UPDATE assignment_devices SET handed_epoch = (SELECT max(epoch) FROM epochs), handed_version = $3,
    handed_at = clock_timestamp(), previous = $4
  WHERE assignment_id = $1 AND device_id = $2`;

/** Takes down what a device was handed, and what its desired state was before. */
export async function writeHanded(
  sql: Sql,
  assignmentId: number,
  deviceId: string,
  { version, previous }: { readonly version: number; readonly previous: DesiredFirmware | null },
): Promise<void> {
  await sql.query(HAND, [assignmentId, deviceId, version, previous && JSON.stringify(previous)]);
}

/** In a transaction with an actor. */
export async function writeState(
  sql: Sql,
  assignmentId: number,
  state: AssignmentState,
  { code = null, detail = null }: { readonly code?: string | null; readonly detail?: string | null } = {},
): Promise<void> {
  await sql.query(
    `UPDATE assignments SET state = $2, code = $3, detail = $4, since = clock_timestamp(),
       counted_from = CASE WHEN $2 = 'active' THEN clock_timestamp() ELSE counted_from END,
       revision = nextval('state_revision')
     WHERE assignment_id = $1`,
    [assignmentId, state, code, detail],
  );
}
