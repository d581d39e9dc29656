import type { Began, Trouble } from '@paddock/shared/began.ts';
import type { ReportedDesired, ReportedOutput } from '@paddock/shared/desired.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import type { Host, Reading, Trigger } from '@paddock/shared/report.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { ClockRecord } from '../clock/clock.ts';
import type { ClockFault } from '../clock/evidence.ts';
import type { DeviceLife } from '../clock/life.ts';
import { unpackClock, type PackedClock } from '../clock/packed.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { clockView, type ClockView } from './clock-view.ts';
import { scopeOf, whereOf, type Condition } from './conditions.ts';
import { convergenceOf, type Convergence } from './convergence.ts';
import { decodeCursor, pageOf, type Page } from './cursor.ts';
import { DELIVERY_COLUMNS, deliveryOf, type DeliveryRow, type DeliveryView } from './delivery.ts';
import { hasExchanged, lifeOfClock, newestLives } from './lives.ts';
import { payloadOf } from './payload.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from './placement.ts';
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

/** What became of the reports of a device's newest start, and what its outbox holds. */
export interface LastDelivery extends DeliveryView {
  /** Reports that no answer covers yet, as the newest report says; null when it does not. */
  readonly waiting: number | null;
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
  /** What it drives, as its newest report says; empty where that is nothing. */
  readonly outputs: Readonly<Record<string, ReportedOutput>>;
  /** Null until a report was recorded. */
  readonly clock: ClockView | null;
  readonly delivery: LastDelivery | null;
  /** What is wrong with the machine, as the newest report says. */
  readonly troubles: Trouble[];
  /** Why the newest start of the agent began; null until the device says. */
  readonly began: Began | null;
  /** How it does with what shall last on it; null until anything was set. */
  readonly desired: Convergence | null;
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
  greatest(s.revision, p.revision, t.revision, 0) AS revision, s.incarnation, s.start, s.sequence, s.boot_id, s.uptime_ms,
  s.received_at, s.earliest, s.latest, s.basis, s.segment, s.envelope, c.record AS clock, c.faults,
  st.start IS NOT NULL AS has_start, ${DELIVERY_COLUMNS},
  (SELECT max(epoch) FROM epochs) AS epoch, t.version AS desired_version, t.reported AS desired_reported,
  st.began`;

const JOINS = `
  FROM devices d
  LEFT JOIN presence p ON p.device_id = d.device_id
  LEFT JOIN device_state s ON s.device_id = d.device_id
  LEFT JOIN clocks c ON c.device_id = s.device_id AND c.boot_id = s.boot_id
    AND c.segment = s.segment
  LEFT JOIN desired_states t ON t.device_id = d.device_id
  LEFT JOIN starts st ON st.device_id = s.device_id AND st.incarnation = s.incarnation AND st.start = s.start`;

interface ViewRow extends Omit<PlacedRow, 'received_at'>, DeliveryRow {
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
  received_at: Date | null;
  envelope: string;
  clock: PackedClock | null;
  faults: ClockFault[] | null;
  has_start: boolean;
  epoch: number;
  desired_version: number | null;
  desired_reported: ReportedDesired | null;
  began: Began | null;
}

/** Reads devices as people see them; never writes. */
export class DeviceViews {
  readonly #sql: Sql;
  readonly #inflater: Inflate;
  readonly #cloudErrorMs: () => number;

  /** @param deps.cloudErrorMs how wrong the cloud's own clock can be: part of every interval */
  constructor(deps: { sql: Sql; inflater: Inflate; cloudErrorMs: () => number }) {
    this.#sql = deps.sql;
    this.#inflater = deps.inflater;
    this.#cloudErrorMs = deps.cloudErrorMs;
  }

  /** One device, or null when there is none in this scope. */
  async one(scope: Scope, deviceId: string): Promise<VersionedView | null> {
    const [view] = await this.some(scope, [deviceId]);
    return view ?? null;
  }

  /** Whether there is such a device in this scope. */
  async has(scope: Scope, deviceId: string): Promise<boolean> {
    const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ?', deviceId]]);
    return (await this.#sql.query(`SELECT FROM devices d ${where}`, values)).length > 0;
  }

  /** The devices of a list that the scope may see, in the order of their ids. */
  async some(scope: Scope, deviceIds: readonly string[]): Promise<VersionedView[]> {
    const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ANY(?)', [...deviceIds]]]);
    const rows = await this.#sql.query<ViewRow>(`SELECT ${COLUMNS} ${JOINS} ${where} ORDER BY d.device_id`, values);
    return this.#viewsOf(rows);
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
    const views = await this.#viewsOf(rows);
    const page = pageOf(
      views,
      limit,
      ({ view }) => [view.deviceId],
      ({ view }) => view,
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

  /** Neighbours are asked only where a clock has exchanged nothing itself. */
  async #viewsOf(rows: readonly ViewRow[]): Promise<VersionedView[]> {
    const known = rows.map((row) => ({ row, record: row.clock && unpackClock(row.clock) }));
    const unsure = known.filter(({ record }) => record !== null && !hasExchanged(record));
    const lives = await newestLives(
      this.#sql,
      unsure.map(({ row }) => row.device_id),
    );
    return known.map(({ row, record }) => this.#viewOf(row, record, lives.get(row.device_id)));
  }

  #viewOf(row: ViewRow, record: ClockRecord | null, life: DeviceLife | undefined): VersionedView {
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
      ...this.#lastKnown(row, record, life),
      desired:
        row.desired_version === null ? null : convergenceOf(row.epoch, row.desired_version, row.desired_reported),
    };
    return { view, version: row.version, revision: row.revision };
  }

  #lastKnown(row: ViewRow, record: ClockRecord | null, life: DeviceLife | undefined): LastKnown {
    const { received_at, boot_id: bootId, segment } = row;
    if (received_at === null) return NEVER_HEARD;
    const report = payloadOf(row.envelope, this.#inflater);
    const own = life ?? lifeOfClock(record && { bootId, segment, record, closed: [] });
    const placed = own.place(momentOf({ ...row, received_at }, this.#cloudErrorMs()));
    const lastReport = {
      receivedAt: instant(received_at),
      incarnation: row.incarnation,
      start: row.start,
      sequence: row.sequence,
      trigger: report.trigger,
      uptimeMs: row.uptime_ms,
      bootId,
      time: timeView(placed),
    };
    return {
      lastReport,
      readings: report.readings,
      host: report.host ?? null,
      outputs: report.outputs ?? {},
      troubles: report.troubles ?? [],
      began: row.began,
      clock: record && clockView(record, row.faults ?? [], report, placed),
      delivery: row.has_start ? { ...deliveryOf(row), waiting: report.outbox?.waiting ?? null } : null,
    };
  }
}

/** Up to here a total is counted; beyond, counting would cost more than it tells. */
const COUNTED = 1000;

interface ExplainRow {
  'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }];
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));

type LastKnown = Pick<
  DeviceView,
  'lastReport' | 'readings' | 'host' | 'outputs' | 'troubles' | 'began' | 'clock' | 'delivery'
>;
const NEVER_HEARD: LastKnown = {
  lastReport: null,
  readings: {},
  host: null,
  outputs: {},
  troubles: [],
  began: null,
  clock: null,
  delivery: null,
};

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
