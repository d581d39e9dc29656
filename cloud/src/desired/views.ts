import type { ReportedDesired } from '@paddock/shared/desired.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { FleetError } from '../customers/errors.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf, type Condition } from '../devices/conditions.ts';
import { convergenceOf, type Convergence } from '../devices/convergence.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from '../devices/cursor.ts';
import type { Sql } from '../ports.ts';
import type { DesiredState } from './check.ts';

/** What shall last on a device, and what its newest report says of it. Version 0 while nothing was ever set. */
export interface DesiredView extends Convergence {
  readonly deviceId: string;
  readonly state: DesiredState;
  readonly changedAt: string | null;
  readonly changedBy: string | null;
  /** When it began to report what it reports. */
  readonly reportedAt: string | null;
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
  epoch: number;
  version: number | null;
  state: DesiredState | null;
  changed_at: Date | null;
  changed_by: string | null;
  reported: ReportedDesired | null;
  reported_at: Date | null;
}

const VIEW = `
  SELECT (SELECT max(epoch) FROM epochs) AS epoch, t.version, t.state, t.changed_at, t.changed_by,
    t.reported, t.reported_at
  FROM devices d LEFT JOIN desired_states t ON t.device_id = d.device_id`;

/** @throws FleetError `device_unknown` */
export async function readDesired(sql: Sql, scope: Scope, deviceId: string): Promise<DesiredView> {
  const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ?', deviceId]]);
  const [row] = await sql.query<ViewRow>(`${VIEW} ${where}`, values);
  if (row === undefined) throw new FleetError('device_unknown', deviceId);
  const { epoch, version, state, reported } = row;
  return {
    deviceId,
    ...convergenceOf(epoch, version ?? 0, reported),
    state: state ?? {},
    changedAt: row.changed_at && instant(row.changed_at),
    changedBy: row.changed_by,
    reportedAt: row.reported_at && instant(row.reported_at),
    // What was never set need not be applied.
    ...(version === null && { converged: true }),
  };
}

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
