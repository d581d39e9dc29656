import type { DesiredError, ReportedDesired } from '@paddock/shared/desired.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { FleetError } from '../customers/errors.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf, type Condition } from '../devices/conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from '../devices/cursor.ts';
import { payloadOf } from '../devices/payload.ts';
import type { Sql } from '../ports.ts';
import type { DesiredState } from './check.ts';

/** What shall last on a device, and what its newest report says of it. */
export interface DesiredView {
  readonly deviceId: string;
  readonly epoch: number;
  /** 0 while nothing was ever set. */
  readonly version: number;
  readonly state: DesiredState;
  readonly changedAt: string | null;
  readonly changedBy: string | null;
  readonly reported: ReportedDesired | null;
  /** Whether the device holds this version, and could apply all of it. */
  readonly converged: boolean;
}

/** One version, and what it changed. */
export interface DesiredEdit {
  readonly version: number;
  readonly changedAt: string;
  readonly changedBy: string;
  /** The request that it came with, as the audit log names it. */
  readonly requestId: string | null;
  readonly changes: readonly { readonly key: string; readonly before: unknown; readonly after: unknown }[];
}

interface ViewRow {
  device_id: string;
  epoch: number;
  version: number | null;
  state: DesiredState | null;
  changed_at: Date | null;
  changed_by: string | null;
  envelope: string | null;
}

const VIEW = `
  SELECT d.device_id, (SELECT max(epoch) FROM epochs) AS epoch, t.version, t.state, t.changed_at, t.changed_by, s.envelope
  FROM devices d
  LEFT JOIN desired_states t ON t.device_id = d.device_id
  LEFT JOIN device_state s ON s.device_id = d.device_id`;

/** @throws FleetError `device_unknown` */
export async function readDesired(
  { sql, inflater }: { readonly sql: Sql; readonly inflater: Inflate },
  scope: Scope,
  deviceId: string,
): Promise<DesiredView> {
  const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ?', deviceId]]);
  const [row] = await sql.query<ViewRow>(`${VIEW} ${where}`, values);
  if (row === undefined) throw new FleetError('device_unknown', deviceId);
  const { epoch, envelope } = row;
  const version = row.version ?? 0;
  const reported = envelope === null ? null : reportedOf(payloadOf(envelope, inflater).desired);
  return {
    deviceId,
    epoch,
    version,
    state: row.state ?? {},
    changedAt: row.changed_at && instant(row.changed_at),
    changedBy: row.changed_by,
    reported,
    converged: isConverged({ epoch, version }, reported),
  };
}

/** What a report says, without what a newer program may say besides. */
export const reportedOf = (desired: ReportedDesired | undefined): ReportedDesired | null =>
  desired === undefined
    ? null
    : {
        epoch: desired.epoch,
        version: desired.version,
        ...(hasErrors(desired.errors) && { errors: desired.errors }),
      };

const hasErrors = (errors: Record<string, DesiredError> | undefined): errors is Record<string, DesiredError> =>
  errors !== undefined && Object.keys(errors).length > 0;

/** Nothing that was never set has to be applied. */
export const isConverged = (
  current: { readonly epoch: number; readonly version: number },
  reported: ReportedDesired | null,
): boolean =>
  current.version === 0 ||
  (reported !== null &&
    reported.epoch === current.epoch &&
    reported.version === current.version &&
    reported.errors === undefined);

interface EditRow {
  id: number;
  actor: string;
  at: Date;
  request_id: string | null;
  before: { state: DesiredState } | null;
  after: { version: number; state: DesiredState };
}

/** Every version with what it changed, newest first. @throws FleetError `device_unknown`, CursorError */
export async function listDesiredEdits(
  sql: Sql,
  scope: Scope,
  deviceId: string,
  { limit, cursor }: PageRequest,
): Promise<Page<DesiredEdit>> {
  const device = whereOf([...scopeOf(scope), ['d.device_id = ?', deviceId]]);
  const known = await sql.query(`SELECT FROM devices d ${device.where}`, device.values);
  if (known.length === 0) throw new FleetError('device_unknown', deviceId);
  const after: Condition[] = cursor ? [['id < ?', decodeCursor(cursor, ['count'])[0]]] : [];
  const { where, values } = whereOf([['table_name = ?', 'desired_states'], ['row_id = ?', deviceId], ...after]);
  const rows = await sql.query<EditRow>(
    `SELECT id, actor, at, request_id, before, after FROM history ${where} ORDER BY id DESC LIMIT ${limit + 1}`,
    values,
  );
  return pageOf(rows, limit, ({ id }) => [id], editOf);
}

const editOf = ({ actor, at, request_id, before, after }: EditRow): DesiredEdit => ({
  version: after.version,
  changedAt: instant(at),
  changedBy: actor,
  requestId: request_id,
  changes: changesOf(before?.state ?? {}, after.state),
});

function changesOf(before: DesiredState, after: DesiredState): DesiredEdit['changes'] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return keys
    .map((key) => ({ key, before: before[key] ?? null, after: after[key] ?? null }))
    .filter((change) => JSON.stringify(change.before) !== JSON.stringify(change.after));
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
