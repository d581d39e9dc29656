import type { Began } from '@paddock/shared/began.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { isPresence, type Presence } from '../devices/presence.ts';
import type { Sql } from '../ports.ts';
import type { PresenceCounts, Transition, SilenceCause } from './fleet.ts';
import type { Allowance, LifeSigns } from './presence.ts';

/** A device whose presence may have to change. */
export interface Candidate extends LifeSigns {
  readonly deviceId: string;
  readonly customerId: string;
  readonly name: string | null;
  /** Why it was silent since it was judged, if it was. */
  readonly cause: SilenceCause | null;
}

/** The alarm of the fleet, and from when on every device has its allowance anew. */
export interface FleetWatch {
  readonly silentSince: WallMs | null;
  readonly allowanceFrom: WallMs | null;
}

const instant = (ms: WallMs | null): string | null => (ms === null ? null : toInstant(ms));
const moment = (date: Date | null): WallMs | null => (date === null ? null : wallMs(date.getTime()));

/** Says that this instance listens (or not), and forgets those that have not said so for an hour. */
export async function sayListening(sql: Sql, listenerId: string, since: WallMs | null, now: WallMs): Promise<void> {
  if (since === null) {
    await sql.query('DELETE FROM listeners WHERE listener_id = $1', [listenerId]);
    return;
  }
  await sql.query(
    `INSERT INTO listeners (listener_id, since, seen_at) VALUES ($1, $2, $3)
     ON CONFLICT (listener_id) DO UPDATE SET since = excluded.since, seen_at = excluded.seen_at`,
    [listenerId, toInstant(since), toInstant(now)],
  );
  await sql.query(`DELETE FROM listeners WHERE seen_at < $1::timestamptz - interval '1 hour'`, [toInstant(now)]);
}

/** Since when somebody listens without a gap; null while nobody does. */
export async function listeningSince(sql: Sql, freshSince: WallMs): Promise<WallMs | null> {
  const [row] = await sql.query<{ since: Date | null }>(
    'SELECT min(since) AS since FROM listeners WHERE seen_at >= $1',
    [toInstant(freshSince)],
  );
  return moment(row?.since ?? null);
}

export async function readFleetWatch(sql: Sql): Promise<FleetWatch> {
  const [row] = await sql.query<{ silent_since: Date | null; allowance_from: Date | null }>(
    'SELECT silent_since, allowance_from FROM fleet_watch',
  );
  return { silentSince: moment(row?.silent_since ?? null), allowanceFrom: moment(row?.allowance_from ?? null) };
}

export async function writeFleetWatch(sql: Sql, watch: FleetWatch): Promise<void> {
  await sql.query('UPDATE fleet_watch SET silent_since = $1, allowance_from = $2', [
    instant(watch.silentSince),
    instant(watch.allowanceFrom),
  ]);
}

/** The same bounds as silenceOf(), so that the thousands of devices that are well are never read. */
const CANDIDATES = `
SELECT d.device_id, d.customer_id, d.name, d.retired_at IS NOT NULL AS retired,
       s.heard_at, s.next_within_ms, s.goodbye, p.state, p.heard_at AS judged_heard_at,
       st.first_received_at AS start_heard_at, st.began
FROM devices d
LEFT JOIN device_state s ON s.device_id = d.device_id
LEFT JOIN presence p ON p.device_id = d.device_id
LEFT JOIN starts st ON st.device_id = s.device_id AND st.incarnation = s.incarnation AND st.start = s.start
WHERE (d.retired_at IS NOT NULL) <> (p.state IS NOT DISTINCT FROM 'retired')
   OR d.retired_at IS NULL AND s.device_id IS NOT NULL AND (
        p.device_id IS NULL
        OR s.goodbye <> (p.state = 'offline')
        OR p.state IN ('late', 'lost') AND s.heard_at IS DISTINCT FROM p.heard_at
        OR (p.state = 'online' OR p.state = 'late' AND NOT $6) AND NOT s.goodbye
           AND greatest(s.heard_at, $2::timestamptz) + interval '1 millisecond'
             * (least(s.next_within_ms, $3) + $4) * (CASE p.state WHEN 'late' THEN $5 ELSE 1 END) < $1::timestamptz
           AND $2::timestamptz IS NOT NULL
      )
ORDER BY d.device_id`;

interface CandidateRow {
  device_id: string;
  customer_id: string;
  name: string | null;
  retired: boolean;
  heard_at: Date | null;
  next_within_ms: number | null;
  goodbye: boolean | null;
  state: string | null;
  judged_heard_at: Date | null;
  start_heard_at: Date | null;
  began: Began | null;
}

/** @param holdLost whether devices that are late stay late whatever the time (see judgeFleet) */
export async function candidates(
  sql: Sql,
  since: WallMs | null,
  now: WallMs,
  holdLost: boolean,
  allowance: Allowance,
): Promise<Candidate[]> {
  const { maxPeriodMs, graceMs, lostAfter } = allowance;
  const values = [toInstant(now), instant(since), maxPeriodMs, graceMs, lostAfter, holdLost];
  return (await sql.query<CandidateRow>(CANDIDATES, values)).map(candidateOf);
}

function candidateOf(row: CandidateRow): Candidate {
  const at = moment(row.heard_at);
  const state = row.state !== null && isPresence(row.state) ? row.state : null;
  return {
    deviceId: row.device_id,
    customerId: row.customer_id,
    name: row.name,
    cause: causeOf(row),
    retired: row.retired,
    heard: at === null ? null : { at, nextWithinMs: row.next_within_ms ?? 0, goodbye: row.goodbye ?? false },
    judged: state === null ? null : { state, heardAt: moment(row.judged_heard_at) },
  };
}

/** A start that was not heard before the silence says what ended the one before; another one ran through it. */
function causeOf({ start_heard_at, judged_heard_at, began }: CandidateRow): SilenceCause | null {
  if (start_heard_at === null || judged_heard_at === null) return null;
  if (start_heard_at <= judged_heard_at) return { reason: 'connection', machine: null, detail: null };
  if (began === null) return null;
  const { agent, machine } = began;
  return {
    reason: agent.reason,
    machine: machine?.reason ?? null,
    detail: agent.detail ?? machine?.detail ?? null,
  };
}

/** Devices by presence, those never seen included. */
export async function presenceCounts(sql: Sql): Promise<PresenceCounts> {
  const rows = await sql.query<{ state: string; count: number }>(
    `SELECT coalesce(p.state, 'never-seen') AS state, count(*) AS count
     FROM devices d LEFT JOIN presence p ON p.device_id = d.device_id GROUP BY 1`,
  );
  const counts: Partial<Record<Presence, number>> = {};
  for (const { state, count } of rows) if (isPresence(state)) counts[state] = count;
  return counts;
}

const WRITE_TRANSITIONS = `
WITH moved AS (
  INSERT INTO presence AS p (device_id, state, since, previous, heard_at, revision)
  SELECT "deviceId", state, $2, previous, "heardAt", nextval('state_revision')
  FROM jsonb_to_recordset($1::jsonb) AS x("deviceId" text, state text, previous text, "heardAt" timestamptz)
  ON CONFLICT (device_id) DO UPDATE
    SET state = excluded.state, since = excluded.since, previous = excluded.previous,
        heard_at = excluded.heard_at, revision = excluded.revision
  RETURNING device_id, state, previous
)
SELECT pg_notify('paddock_presence', jsonb_build_object(
  'deviceId', device_id, 'presence', state, 'previous', previous, 'since', $3::text)::text)
FROM moved`;

/** Writes the changes and tells every instance of each when the transaction commits. */
export async function writeTransitions(sql: Sql, transitions: readonly Transition[], now: WallMs): Promise<void> {
  if (transitions.length === 0) return;
  const rows = transitions.map((row) => ({ ...row, heardAt: instant(row.heardAt) }));
  await sql.query(WRITE_TRANSITIONS, [JSON.stringify(rows), toInstant(now), toInstant(now)]);
}
