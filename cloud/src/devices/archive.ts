import type { Inflate } from '@paddock/shared/envelope.ts';
import type { Report } from '@paddock/shared/report.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { DeviceLife } from '../clock/life.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { scopeOf, whereOf } from './conditions.ts';
import { decodeCursor, pageOf, type Page } from './cursor.ts';
import { lifeAround } from './lives.ts';
import { payloadOf } from './payload.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from './placement.ts';
import { proofOf, urlSafe, type Proof } from './proof.ts';

/** What a report is: nothing else may ever have the same. */
export interface ReportIdentity {
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
}

/** A recorded report, with its payload as it was signed. */
export interface ReportView extends ReportIdentity {
  readonly receivedAt: string;
  readonly trigger: string;
  readonly bootId: string;
  readonly uptimeMs: number;
  /** SHA-256 of the JWS signing input, base64url. */
  readonly digest: string;
  readonly time: TimeView;
  readonly payload: Report;
}

/** The last known state: the newest report in the device's own order, whole. */
export interface StateView extends ReportIdentity {
  readonly deviceId: string;
  readonly receivedAt: string;
  /** Arrival of the newest report of any kind, late ones included. */
  readonly heardAt: string;
  readonly digest: string;
  readonly time: TimeView;
  readonly report: Report;
}

export interface RejectionView {
  readonly id: number;
  readonly receivedAt: string;
  readonly code: string;
  readonly detail: string;
  readonly topic: string;
  /** What arrived, cut to its first part. */
  readonly envelope: string;
}

export interface ReportPeriod {
  /** Arrivals from here on, RFC 3339. */
  readonly from?: string;
  /** Arrivals before. */
  readonly to?: string;
}

interface ReportRow extends PlacedRow {
  incarnation: string;
  start: number;
  sequence: number;
  trigger: string;
  digest: string;
  envelope: string;
}

const REPORTS = `
SELECT r.received_at, r.incarnation, r.start, r.sequence, r.boot_id, r.uptime_ms, r.segment, r.trigger,
       r.earliest, r.latest, r.basis, encode(r.digest, 'base64') AS digest, r.envelope
FROM reports r
JOIN devices d ON d.device_id = r.device_id`;

const NEWEST_FIRST = 'ORDER BY r.received_at DESC, r.start DESC, r.sequence DESC, r.incarnation DESC';
const BEYOND_CURSOR = `(r.received_at, r.start, r.sequence, r.incarnation) <
  (SELECT (k ->> 0)::timestamptz, (k ->> 1)::bigint, (k ->> 2)::bigint, k ->> 3 FROM (SELECT ?::jsonb AS k) AS cursor)`;

/** Reads what devices reported; never writes. */
export class Archive {
  readonly #sql: Sql;
  readonly #inflater: Inflate;
  readonly #cloudErrorMs: () => number;

  constructor(deps: { sql: Sql; inflater: Inflate; cloudErrorMs: () => number }) {
    this.#sql = deps.sql;
    this.#inflater = deps.inflater;
    this.#cloudErrorMs = deps.cloudErrorMs;
  }

  /**
   * A device's reports by arrival, newest first.
   * @throws CursorError
   */
  async reports(
    scope: Scope,
    deviceId: string,
    period: ReportPeriod,
    limit: number,
    cursor?: string,
  ): Promise<Page<ReportView>> {
    const key = cursor && decodeCursor(cursor, ['instant', 'count', 'count', 'text']);
    const { where, values } = whereOf([
      ...scopeOf(scope),
      ['r.device_id = ?', deviceId],
      ...(period.from === undefined ? [] : ([['r.received_at >= ?', period.from]] as const)),
      ...(period.to === undefined ? [] : ([['r.received_at < ?', period.to]] as const)),
      // Said twice, because only the plain comparison spares partitions.
      ...(key
        ? ([
            ['r.received_at <= ?', key[0]],
            [BEYOND_CURSOR, JSON.stringify(key)],
          ] as const)
        : []),
    ]);
    const rows = await this.#sql.query<ReportRow>(`${REPORTS} ${where} ${NEWEST_FIRST} LIMIT ${limit + 1}`, values);
    const life = await lifeAround(this.#sql, deviceId, rows);
    return pageOf(rows, limit, keyOf, (row) => this.#viewOf(row, life));
  }

  /** The last known state, or null when the device never reported. */
  async state(scope: Scope, deviceId: string): Promise<StateView | null> {
    const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ?', deviceId]]);
    const [row] = await this.#sql.query<StateRow>(
      `SELECT s.incarnation, s.start, s.sequence, s.boot_id, s.uptime_ms, s.segment,
              s.received_at, s.heard_at, s.earliest, s.latest, s.basis, encode(s.digest, 'base64') AS digest, s.envelope
       FROM device_state s
       JOIN devices d ON d.device_id = s.device_id ${where}`,
      values,
    );
    if (row === undefined) return null;
    const { incarnation, start, sequence, envelope } = row;
    const life = await lifeAround(this.#sql, deviceId, [row]);
    return {
      deviceId,
      incarnation,
      start,
      sequence,
      receivedAt: instant(row.received_at),
      heardAt: instant(row.heard_at),
      digest: urlSafe(row.digest),
      time: this.#timeOf(row, life),
      report: payloadOf(envelope, this.#inflater),
    };
  }

  /** A recorded report with everything that proves it, or null when there is none. */
  async proof(scope: Scope, deviceId: string, identity: ReportIdentity): Promise<Proof | null> {
    const { where, values } = whereOf([
      ...scopeOf(scope),
      ['r.device_id = ?', deviceId],
      ['r.incarnation = ?', identity.incarnation],
      ['r.start = ?', identity.start],
      ['r.sequence = ?', identity.sequence],
    ]);
    const [row] = await this.#sql.query<ReportRow>(`${REPORTS} ${where} LIMIT 1`, values);
    return row === undefined ? null : proofOf(this.#sql, scope, deviceId, row);
  }

  /** Refused messages under a device's topic, newest first. Whether the device sent them is not known. */
  async rejections(scope: Scope, deviceId: string, limit: number): Promise<RejectionView[]> {
    const { where, values } = whereOf([...scopeOf(scope), ['j.device_id = ?', deviceId]]);
    const rows = await this.#sql.query<Omit<RejectionView, 'receivedAt'> & { received_at: Date }>(
      `SELECT j.id, j.received_at, j.code, j.detail, j.topic, j.envelope
       FROM rejected_reports j JOIN devices d ON d.device_id = j.device_id ${where} ORDER BY j.id DESC LIMIT ${limit}`,
      values,
    );
    return rows.map(({ received_at, ...row }) => ({ ...row, receivedAt: instant(received_at) }));
  }

  #timeOf(row: PlacedRow, life: DeviceLife): TimeView {
    return timeView(life.place(momentOf(row, this.#cloudErrorMs())));
  }

  #viewOf(row: ReportRow, life: DeviceLife): ReportView {
    return {
      receivedAt: instant(row.received_at),
      incarnation: row.incarnation,
      start: row.start,
      sequence: row.sequence,
      trigger: row.trigger,
      bootId: row.boot_id,
      uptimeMs: row.uptime_ms,
      digest: urlSafe(row.digest),
      time: this.#timeOf(row, life),
      payload: payloadOf(row.envelope, this.#inflater),
    };
  }
}

interface StateRow extends PlacedRow {
  incarnation: string;
  start: number;
  sequence: number;
  heard_at: Date;
  digest: string;
  envelope: string;
}

const keyOf = (row: ReportRow) => [instant(row.received_at), row.start, row.sequence, row.incarnation];
const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
