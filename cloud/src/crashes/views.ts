import { base64url } from 'jose';
import { parseCrash, type Crash } from '@paddock/shared/crash.ts';
import { parseEnvelope, readPayload, type Inflate } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf } from '../devices/conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from '../devices/cursor.ts';
import { lifeAround } from '../devices/lives.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from '../devices/placement.ts';
import { proofOf, urlSafe, type Proof } from '../devices/proof.ts';
import type { Sql } from '../ports.ts';

export interface CrashReading {
  readonly sql: Sql;
  readonly inflater: Inflate;
  /** How wrong the cloud's own clock can be now, in ms. */
  readonly cloudErrorMs: () => number;
}

/** An end that was not in good order, and when it was. */
export interface CrashView {
  readonly crashId: string;
  readonly receivedAt: string;
  /** The last sign of life before it. */
  readonly time: TimeView;
  readonly incarnation: string;
  /** The start that told of it. */
  readonly start: number;
  readonly reason: string;
  /** Why the machine was booted; null when it was not. */
  readonly machine: string | null;
  readonly detail: string | null;
  readonly agentVersion: string | null;
  /** SHA-256 of the JWS signing input. */
  readonly digest: string;
}

/** The same with all that the device signed. */
export interface WholeCrash extends CrashView {
  readonly content: Crash;
}

interface CrashRow extends PlacedRow {
  readonly crash_number: number;
  readonly crash_id: string;
  readonly incarnation: string;
  readonly start: number;
  readonly reason: string;
  readonly machine: string | null;
  readonly detail: string | null;
  readonly agent_version: string | null;
  readonly digest: string;
  readonly envelope: string;
}

const CRASHES = `
  SELECT c.crash_number, c.crash_id, c.incarnation, c.start, c.reason, c.machine, c.detail, c.agent_version, c.boot_id,
    c.segment, c.uptime_ms, c.received_at, c.earliest, c.latest, c.basis, encode(c.digest, 'base64') AS digest, c.envelope
  FROM crashes c JOIN devices d USING (device_id)`;

/**
 * What a device told of its crashes, newest first.
 * @throws CursorError
 */
export async function listCrashes(
  { sql, cloudErrorMs }: Pick<CrashReading, 'sql' | 'cloudErrorMs'>,
  scope: Scope,
  deviceId: string,
  { limit, cursor }: PageRequest,
): Promise<Page<CrashView>> {
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ['c.device_id = ?', deviceId],
    ...(cursor === undefined ? [] : ([['c.crash_number < ?', decodeCursor(cursor, ['count'])[0]]] as const)),
  ]);
  const order = `ORDER BY c.crash_number DESC LIMIT ${limit + 1}`;
  const rows = await sql.query<CrashRow>(`${CRASHES} ${where} ${order}`, values);
  const life = await lifeAround(sql, deviceId, rows);
  return pageOf(
    rows,
    limit,
    ({ crash_number }) => [crash_number],
    (row) => viewOf(row, timeView(life.place(momentOf(row, cloudErrorMs())))),
  );
}

/** One of them, whole; null when there is none. */
export async function oneCrash(
  { sql, inflater, cloudErrorMs }: CrashReading,
  scope: Scope,
  deviceId: string,
  crashId: string,
): Promise<WholeCrash | null> {
  const row = await rowOf(sql, scope, deviceId, crashId);
  if (row === null) return null;
  const life = await lifeAround(sql, deviceId, [row]);
  const { payload, dictionary } = parseEnvelope(row.envelope);
  const content = parseCrash(readPayload(base64url.decode(payload), dictionary, inflater));
  return { ...viewOf(row, timeView(life.place(momentOf(row, cloudErrorMs())))), content };
}

/** All that it takes to verify a crash report without us, or null when there is none. */
export async function crashProof(sql: Sql, scope: Scope, deviceId: string, crashId: string): Promise<Proof | null> {
  const row = await rowOf(sql, scope, deviceId, crashId);
  return row === null ? null : proofOf(sql, scope, deviceId, row);
}

async function rowOf(sql: Sql, scope: Scope, deviceId: string, crashId: string): Promise<CrashRow | null> {
  const { where, values } = whereOf([...scopeOf(scope), ['c.device_id = ?', deviceId], ['c.crash_id = ?', crashId]]);
  const [row] = await sql.query<CrashRow>(`${CRASHES} ${where}`, values);
  return row ?? null;
}

const viewOf = (row: CrashRow, time: TimeView): CrashView => ({
  crashId: row.crash_id,
  receivedAt: toInstant(wallMs(row.received_at.getTime())),
  time,
  incarnation: row.incarnation,
  start: row.start,
  reason: row.reason,
  machine: row.machine,
  detail: row.detail,
  agentVersion: row.agent_version,
  digest: urlSafe(row.digest),
});
