import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import { whereOf, type Condition } from '../devices/conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from '../devices/cursor.ts';
import type { Sql } from '../ports.ts';
import { RolloutError } from './errors.ts';
import type { AssignmentOptions, AssignmentRow, TargetFilter } from './records.ts';
import { DEVICE_STATES, type AssignmentState, type DeviceState } from './states.ts';

/** An assignment as people see it. */
export interface AssignmentView {
  readonly assignmentId: number;
  readonly customerId: string | null;
  readonly release: {
    readonly name: string;
    readonly version: string;
    readonly counter: number;
    readonly sha256: string;
  };
  readonly filter: TargetFilter | null;
  readonly standing: boolean;
  readonly options: AssignmentOptions;
  readonly cap: number;
  readonly haltAfter: number;
  readonly stalledAfterMs: number;
  readonly state: AssignmentState;
  readonly code: string | null;
  readonly detail: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly since: string;
  readonly totals: Readonly<Record<DeviceState, number>>;
}

/** How far one device is. */
export interface AssignedDevice {
  readonly assignmentId: number;
  readonly deviceId: string;
  readonly state: DeviceState;
  readonly code: string | null;
  readonly detail: string | null;
  readonly step: string | null;
  readonly percent: number | null;
  /** Of the state. */
  readonly since: string;
  /** When anything of this was written last: its step, too. */
  readonly toldAt: string;
  readonly handedAt: string | null;
  readonly supersededBy: number | null;
}

interface ViewRow extends Omit<AssignmentRow, 'models' | 'counted_from'> {
  readonly code: string | null;
  readonly detail: string | null;
  readonly created_at: Date;
  readonly created_by: string;
  readonly since: Date;
  readonly totals: Partial<Record<DeviceState, number>> | null;
}

const VIEW = `
  SELECT a.assignment_id, a.customer_id, a.name, a.counter, a.version, a.sha256, a.options, a.filter, a.standing, a.cap,
    a.halt_after, a.stalled_after_ms, a.state, a.code, a.detail, a.created_at, a.created_by, a.since,
    (SELECT jsonb_object_agg(state, count) FROM (
       SELECT r.state, count(*) FROM assignment_devices r WHERE r.assignment_id = a.assignment_id GROUP BY r.state) c
    ) AS totals
  FROM assignments a`;

const scopeOf = ({ customerId }: Scope): Condition[] =>
  customerId === null ? [] : [['a.customer_id = ?', customerId]];

export interface AssignmentFilter {
  readonly state?: AssignmentState | undefined;
  readonly name?: string | undefined;
}

/** Newest first. @throws CursorError */
export async function listAssignments(
  sql: Sql,
  scope: Scope,
  { state, name }: AssignmentFilter,
  { limit, cursor }: PageRequest,
): Promise<Page<AssignmentView>> {
  const after: Condition[] = cursor ? [['a.assignment_id < ?', decodeCursor(cursor, ['count'])[0]]] : [];
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ...(state === undefined ? [] : [['a.state = ?', state] as const]),
    ...(name === undefined ? [] : [['a.name = ?', name] as const]),
    ...after,
  ]);
  const rows = await sql.query<ViewRow>(`${VIEW} ${where} ORDER BY a.assignment_id DESC LIMIT ${limit + 1}`, values);
  return pageOf(rows, limit, (row) => [row.assignment_id], viewOf);
}

/** @throws RolloutError `assignment_unknown` */
export async function readAssignment(sql: Sql, scope: Scope, assignmentId: number): Promise<AssignmentView> {
  const [view] = await someAssignments(sql, scope, [assignmentId]);
  if (view === undefined) throw new RolloutError('assignment_unknown', String(assignmentId));
  return view;
}

/** Those of a list that the scope may see. */
export async function someAssignments(sql: Sql, scope: Scope, ids: readonly number[]): Promise<AssignmentView[]> {
  const { where, values } = whereOf([...scopeOf(scope), ['a.assignment_id = ANY(?)', [...ids]]]);
  const rows = await sql.query<ViewRow>(`${VIEW} ${where} ORDER BY a.assignment_id`, values);
  return rows.map(viewOf);
}

function viewOf(row: ViewRow): AssignmentView {
  const { name, version, counter, sha256, standing, options, filter, cap, state, code, detail } = row;
  const states = Object.keys(DEVICE_STATES) as DeviceState[];
  const totals = Object.fromEntries(states.map((one) => [one, row.totals?.[one] ?? 0])) as Record<DeviceState, number>;
  return {
    assignmentId: row.assignment_id,
    customerId: row.customer_id,
    release: { name, version, counter, sha256 },
    filter,
    standing,
    options,
    cap,
    haltAfter: row.halt_after,
    stalledAfterMs: row.stalled_after_ms,
    state,
    code,
    detail,
    createdAt: instant(row.created_at),
    createdBy: row.created_by,
    since: instant(row.since),
    totals,
  };
}

interface DeviceRow extends Pick<AssignedDevice, 'state' | 'code' | 'detail' | 'step' | 'percent'> {
  readonly assignment_id: number;
  readonly device_id: string;
  readonly customer_id: string;
  readonly since: Date;
  readonly told_at: Date;
  readonly handed_at: Date | null;
  readonly superseded_by: number | null;
}

const DEVICES = `
  SELECT r.assignment_id, r.device_id, d.customer_id, r.state, r.code, r.detail, r.step, r.percent, r.since, r.told_at, r.handed_at,
    r.superseded_by
  FROM assignment_devices r JOIN devices d USING (device_id)`;

/** By device. @throws CursorError, RolloutError `assignment_unknown` */
export async function listAssignedDevices(
  sql: Sql,
  scope: Scope,
  { assignmentId, state }: { readonly assignmentId: number; readonly state?: DeviceState | undefined },
  { limit, cursor }: PageRequest,
): Promise<Page<AssignedDevice>> {
  await readAssignment(sql, scope, assignmentId);
  const after: Condition[] = cursor ? [['r.device_id > ?', decodeCursor(cursor, ['text'])[0]]] : [];
  const { where, values } = whereOf([
    ['r.assignment_id = ?', assignmentId],
    ...(state === undefined ? [] : [['r.state = ?', state] as const]),
    ...after,
  ]);
  const rows = await sql.query<DeviceRow>(`${DEVICES} ${where} ORDER BY r.device_id LIMIT ${limit + 1}`, values);
  return pageOf(rows, limit, (row) => [row.device_id], deviceOf);
}

/** What is told live of devices in assignments: with the customer that may hear it. */
export interface ToldDevice {
  readonly customerId: string;
  readonly device: AssignedDevice;
}

const TOLD = `${DEVICES}
  JOIN json_to_recordset($1) AS w ("assignmentId" bigint, "deviceId" text)
    ON (r.assignment_id, r.device_id) = (w."assignmentId", w."deviceId")
  ORDER BY r.revision`;

export async function someAssignedDevices(
  sql: Sql,
  wanted: readonly { readonly assignmentId: number; readonly deviceId: string }[],
): Promise<ToldDevice[]> {
  if (wanted.length === 0) return [];
  const rows = await sql.query<DeviceRow>(TOLD, [JSON.stringify(wanted)]);
  return rows.map((row) => ({ customerId: row.customer_id, device: deviceOf(row) }));
}

const deviceOf = (row: DeviceRow): AssignedDevice => ({
  assignmentId: row.assignment_id,
  deviceId: row.device_id,
  state: row.state,
  code: row.code,
  detail: row.detail,
  step: row.step,
  percent: row.percent,
  since: instant(row.since),
  toldAt: instant(row.told_at),
  handedAt: row.handed_at && instant(row.handed_at),
  supersededBy: row.superseded_by,
});

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
