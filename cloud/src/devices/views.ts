import type { Host, Reading, Report, Trigger } from '@paddock/shared/report.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { decodeCursor, pageOf, type Page } from './cursor.ts';
import { CLOCK_COLUMNS, timeOf, type PlacedRow, type TimeView } from './placement.ts';
import type { Presence } from './presence.ts';

export interface LastReport {
  readonly receivedAt: string;
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
  readonly trigger: Trigger;
  readonly uptimeMs: number;
  readonly bootId: string;
  readonly time: TimeView;
}

/** What people see of a device: its attributes, its presence, and its last known state. */
export interface DeviceView {
  readonly deviceId: string;
  readonly name: string;
  readonly customerId: string;
  readonly siteId: string | null;
  readonly modelId: string | null;
  readonly serialNumber: string | null;
  readonly registeredAt: string;
  readonly retiredAt: string | null;
  readonly presence: Presence;
  readonly presenceSince: string;
  readonly lastReport: LastReport | null;
  readonly readings: Readonly<Record<string, Reading>>;
  readonly host: Host | null;
}

/** A view with what travels beside it: the version of the attributes, and its place among all changes. */
export interface VersionedView {
  readonly view: DeviceView;
  readonly version: number;
  readonly revision: number;
}

export interface DeviceFilter {
  readonly customer?: string;
  readonly site?: string;
  readonly model?: string;
  readonly presence?: string;
  /** A part of the id, the name or the serial number, in any case. */
  readonly q?: string;
}

export interface DevicePage extends Page<DeviceView> {
  /** Exact up to a thousand, the planner's estimate beyond. */
  readonly estimatedTotal: number;
}

const PRESENCE = `CASE WHEN d.retired_at IS NOT NULL THEN 'retired' ELSE coalesce(p.state, 'never-seen') END`;

const COLUMNS = `
  d.device_id, d.name, d.customer_id, d.site_id, d.model_id, d.serial_number, d.registered_at, d.retired_at, d.version,
  ${PRESENCE} AS presence, coalesce(p.since, d.registered_at) AS presence_since,
  greatest(s.revision, p.revision, 0) AS revision, s.incarnation, s.start, s.sequence, s.boot_id, s.uptime_ms,
  s.received_at, s.earliest, s.latest, s.basis, s.report, ${CLOCK_COLUMNS}`;

const JOINS = `
  FROM devices d
  LEFT JOIN presence p ON p.device_id = d.device_id
  LEFT JOIN device_state s ON s.device_id = d.device_id
  LEFT JOIN clocks c ON c.device_id = s.device_id AND c.boot_id = s.boot_id
    AND c.segment = coalesce((s.report ->> 'segment')::int, 0)`;

interface ViewRow extends Omit<PlacedRow, 'received_at' | 'segment'> {
  device_id: string;
  name: string;
  customer_id: string;
  site_id: string | null;
  model_id: string | null;
  serial_number: string | null;
  registered_at: Date;
  retired_at: Date | null;
  version: number;
  presence: Presence;
  presence_since: Date;
  revision: number;
  incarnation: string;
  start: number;
  sequence: number;
  boot_id: string;
  received_at: Date | null;
  report: Report;
}

/** A part of a WHERE clause; `?` stands for its value. */
type Condition = readonly [sql: string, value: unknown];

/** Reads devices as people see them; never writes. */
export class DeviceViews {
  readonly #sql: Sql;
  readonly #cloudErrorMs: number;

  /** @param deps.cloudErrorMs how wrong the cloud's own clock can be: part of every interval */
  constructor(deps: { sql: Sql; cloudErrorMs: number }) {
    this.#sql = deps.sql;
    this.#cloudErrorMs = deps.cloudErrorMs;
  }

  /** One device, or null when there is none in this scope. */
  async one(scope: Scope, deviceId: string): Promise<VersionedView | null> {
    const [view] = await this.some(scope, [deviceId]);
    return view ?? null;
  }

  /** The devices of a list that the scope may see, in the order of their ids. */
  async some(scope: Scope, deviceIds: readonly string[]): Promise<VersionedView[]> {
    const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ANY(?)', [...deviceIds]]]);
    const rows = await this.#sql.query<ViewRow>(`SELECT ${COLUMNS} ${JOINS} ${where} ORDER BY d.device_id`, values);
    return rows.map((row) => this.#viewOf(row));
  }

  /** @throws CursorError */
  async list(scope: Scope, filter: DeviceFilter, limit: number, cursor?: string): Promise<DevicePage> {
    const conditions = [...scopeOf(scope), ...filterOf(filter)];
    const after: Condition[] = cursor ? [['d.device_id > ?', decodeCursor(cursor, ['text'])[0]]] : [];
    const { where, values } = whereOf([...conditions, ...after]);
    const rows = await this.#sql.query<ViewRow>(
      `SELECT ${COLUMNS} ${JOINS} ${where} ORDER BY d.device_id LIMIT ${limit + 1}`,
      values,
    );
    const page = pageOf(
      rows,
      limit,
      (row) => [row.device_id],
      (row) => this.#viewOf(row).view,
    );
    return { ...page, estimatedTotal: await this.#estimate(conditions) };
  }

  async #estimate(conditions: readonly Condition[]): Promise<number> {
    const { where, values } = whereOf(conditions);
    const from = `FROM devices d LEFT JOIN presence p ON p.device_id = d.device_id ${where}`;
    const [counted] = await this.#sql.query<{ count: number }>(
      `SELECT count(*) AS count FROM (SELECT 1 ${from} LIMIT ${COUNTED + 1}) AS counted`,
      values,
    );
    const count = counted?.count ?? 0;
    if (count <= COUNTED) return count;
    const [plan] = await this.#sql.query<ExplainRow>(`EXPLAIN (FORMAT JSON) SELECT 1 ${from}`, values);
    return Math.max(count, plan?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? 0);
  }

  #viewOf(row: ViewRow): VersionedView {
    const view: DeviceView = {
      deviceId: row.device_id,
      name: row.name,
      customerId: row.customer_id,
      siteId: row.site_id,
      modelId: row.model_id,
      serialNumber: row.serial_number,
      registeredAt: instant(row.registered_at),
      retiredAt: row.retired_at && instant(row.retired_at),
      presence: row.presence,
      presenceSince: instant(row.presence === 'retired' && row.retired_at ? row.retired_at : row.presence_since),
      ...lastKnown(row, this.#cloudErrorMs),
    };
    return { view, version: row.version, revision: row.revision };
  }
}

/** Up to here a total is counted; beyond, counting would cost more than it tells. */
const COUNTED = 1000;

interface ExplainRow {
  'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }];
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));

function lastKnown(row: ViewRow, cloudErrorMs: number): Pick<DeviceView, 'lastReport' | 'readings' | 'host'> {
  if (row.received_at === null) return { lastReport: null, readings: {}, host: null };
  const placed = { ...row, received_at: row.received_at, segment: row.report.segment ?? 0 };
  const lastReport = {
    receivedAt: instant(row.received_at),
    incarnation: row.incarnation,
    start: row.start,
    sequence: row.sequence,
    trigger: row.report.trigger,
    uptimeMs: row.uptime_ms,
    bootId: row.boot_id,
    time: timeOf(placed, cloudErrorMs),
  };
  return { lastReport, readings: row.report.readings, host: row.report.host ?? null };
}

/** The scope as a condition on the device: there is no way to ask without one. */
export const scopeOf = ({ customerId }: Scope): Condition[] =>
  customerId === null ? [] : [['d.customer_id = ?', customerId]];

function filterOf({ customer, site, model, presence, q }: DeviceFilter): Condition[] {
  const equal: readonly (readonly [string, string | undefined])[] = [
    ['d.customer_id = ?', customer],
    ['d.site_id = ?', site],
    ['d.model_id = ?', model],
    [`${PRESENCE} = ?`, presence],
    [`concat_ws(' ', d.device_id, d.name, d.serial_number) ILIKE ?`, q && `%${q.replace(/[\\%_]/g, '\\$&')}%`],
  ];
  return equal.flatMap(([sql, value]) => (value === undefined ? [] : [[sql, value] as const]));
}

/** Joins conditions with AND and numbers their values. */
export function whereOf(conditions: readonly Condition[]): { where: string; values: unknown[] } {
  if (conditions.length === 0) return { where: '', values: [] };
  const parts = conditions.map(([sql], at) => sql.replace('?', () => `$${at + 1}`));
  return { where: `WHERE ${parts.join(' AND ')}`, values: conditions.map(([, value]) => value) };
}
