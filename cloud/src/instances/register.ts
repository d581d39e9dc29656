import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { Offset } from './clock-offset.ts';
import type { ClockSource } from './own-clock.ts';

/** A running process of the service. */
export interface Identity {
  /** New at every start. */
  readonly instanceId: string;
  readonly host: string;
  readonly version: string;
}

/** What an instance says of its clock. */
export interface ClockFigures {
  readonly errorMs: number;
  readonly source: ClockSource;
  readonly offset: Offset;
  readonly steps: number;
}

/** The contradiction of clocks that stands, and whom it names; `since` is null while all agree. */
export interface ClockAlarm {
  readonly since: WallMs | null;
  readonly lastAt: WallMs | null;
  readonly named: readonly string[];
}

export interface Instance extends Identity {
  readonly startedAt: WallMs;
  readonly seenAt: WallMs;
  /** Whether it has been heard of lately. */
  readonly isAlive: boolean;
  readonly clock: ClockFigures;
}

/** An instance that has not been heard of for this long counts for nothing. */
const ALIVE_WITHIN_MS = 30_000;
const IS_ALIVE = "seen_at BETWEEN clock_timestamp() - $1 * interval '1 millisecond' AND clock_timestamp()";

/** Says that this instance runs, and what its clock is worth. Instances silent for an hour are forgotten. */
export async function sayAlive(sql: Sql, { instanceId, host, version }: Identity, clock: ClockFigures): Promise<void> {
  const { errorMs, source, offset, steps } = clock;
  await sql.query(
    `INSERT INTO instances (instance_id, host, version, started_at, seen_at,
       clock_error_ms, clock_source, offset_low_ms, offset_high_ms, clock_steps)
     VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, $5, $6, $7, $8)
     ON CONFLICT (instance_id) DO UPDATE SET seen_at = excluded.seen_at, clock_error_ms = excluded.clock_error_ms,
       clock_source = excluded.clock_source, offset_low_ms = excluded.offset_low_ms,
       offset_high_ms = excluded.offset_high_ms, clock_steps = excluded.clock_steps`,
    [instanceId, host, version, errorMs, source, offset.lowMs, offset.highMs, steps],
  );
  await sql.query(`DELETE FROM instances WHERE seen_at < clock_timestamp() - interval '1 hour'`);
}

/** An instance that stops says so: nobody has to wait whether it is heard of again. */
export async function sayGone(sql: Sql, instanceId: string): Promise<void> {
  await sql.query('DELETE FROM instances WHERE instance_id = $1', [instanceId]);
}

interface InstanceRow {
  instance_id: string;
  host: string;
  version: string;
  started_at: Date;
  seen_at: Date;
  is_alive: boolean;
  clock_error_ms: number;
  clock_source: ClockSource;
  offset_low_ms: number;
  offset_high_ms: number;
  clock_steps: number;
}

/** Every instance that was heard of within the hour, oldest first. */
export async function listInstances(sql: Sql): Promise<Instance[]> {
  const rows = await sql.query<InstanceRow>(
    `SELECT *, ${IS_ALIVE} AS is_alive
     FROM instances ORDER BY started_at, instance_id`,
    [ALIVE_WITHIN_MS],
  );
  return rows.map((row) => ({
    instanceId: row.instance_id,
    host: row.host,
    version: row.version,
    startedAt: wallMs(row.started_at.getTime()),
    seenAt: wallMs(row.seen_at.getTime()),
    isAlive: row.is_alive,
    clock: {
      errorMs: row.clock_error_ms,
      source: row.clock_source,
      offset: { lowMs: row.offset_low_ms, highMs: row.offset_high_ms },
      steps: row.clock_steps,
    },
  }));
}

/** Hosts of the instances that run on a database, which may be another one than ours, or of another version. */
export async function runningInstances(sql: Sql): Promise<string[]> {
  const [known] = await sql.query<{ known: boolean }>("SELECT to_regclass('public.instances') IS NOT NULL AS known");
  if (known?.known !== true) return [];
  const rows = await sql.query<{ host: string }>(`SELECT host FROM instances WHERE ${IS_ALIVE} ORDER BY host`, [
    ALIVE_WITHIN_MS,
  ]);
  return rows.map(({ host }) => host);
}

export async function readClockAlarm(sql: Sql): Promise<ClockAlarm> {
  const [row] = await sql.query<{ since: Date | null; last_at: Date | null; named: string[] }>(
    'SELECT since, last_at, named FROM clock_watch',
  );
  const moment = (at: Date | null | undefined): WallMs | null => (at ? wallMs(at.getTime()) : null);
  return { since: moment(row?.since), lastAt: moment(row?.last_at), named: row?.named ?? [] };
}

export async function writeClockAlarm(sql: Sql, { since, lastAt, named }: ClockAlarm): Promise<void> {
  const instant = (at: WallMs | null): string | null => (at === null ? null : toInstant(at));
  await sql.query('UPDATE clock_watch SET since = $1, last_at = $2, named = $3', [
    instant(since),
    instant(lastAt),
    [...named],
  ]);
}
