import type { Began } from '@paddock/shared/began.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { ErrorAt, Sql, Store } from '../ports.ts';
import type { AuthenticReport } from './authenticate.ts';
import { addAlarms, alarmsOf, liveClones, livesOf, type Alarm } from './alarms.ts';
import { decide, type Decision } from './decide.ts';
import { addStarts } from './first-contact.ts';
import { bootKeyOf, loadLedger, startKeyOf, type StartEntry } from './ledger.ts';
import type { Newest } from './order.ts';
import { toMultirange } from './ranges.ts';
import { recordFirmware } from './record-firmware.ts';
import type { PlacedReport } from './reconcile.ts';
import { intervalColumns, recordTime } from './record-time.ts';
import type { SeenChanges } from './seen-changes.ts';

export interface Recorded {
  readonly decision: Decision;
  /** The reports that became the last known state of their devices. */
  readonly current: readonly PlacedReport[];
  /** What operators are told of it. */
  readonly alarms: readonly Alarm[];
}

const ADD_REPORTS = `
  INSERT INTO reports (received_at, device_id, incarnation, start, sequence, boot_id, uptime_ms, segment, trigger,
    earliest, latest, basis, digest, envelope)
  SELECT received_at, device_id, incarnation, start, sequence, boot_id, uptime_ms, segment, trigger,
    earliest, latest, basis, decode(digest, 'base64'), envelope
  FROM json_to_recordset($1) AS r (received_at timestamptz, device_id text, incarnation text, start bigint,
    sequence bigint, boot_id text, uptime_ms bigint, segment integer, trigger text, earliest timestamptz,
    latest timestamptz, basis text, digest text, envelope text)`;

// first_received_at is a lower bound of every arrival of the start: clocks are set back, and instances' clocks differ.
const UPDATE_STARTS = `
  UPDATE starts s SET recorded = n.recorded, rejected = n.rejected,
    dropped_routine = n.dropped_routine, dropped_events = n.dropped_events,
    settled_below = n.settled_below, abandoned = n.abandoned, began = coalesce(s.began, n.began),
    first_received_at = least(s.first_received_at, n.first_received_at),
    last_received_at = greatest(s.last_received_at, n.last_received_at)
  FROM json_to_recordset($1) AS n (device_id text, incarnation text, start bigint, recorded int8multirange, rejected jsonb,
    dropped_routine bigint, dropped_events bigint, settled_below bigint, abandoned bigint, began jsonb,
    first_received_at timestamptz, last_received_at timestamptz)
  WHERE (s.device_id, s.incarnation, s.start) = (n.device_id, n.incarnation, n.start)`;

const UPDATE_BOOTS = `
  UPDATE boots b SET reason = coalesce(b.reason, n.reason),
    last_received_at = greatest(b.last_received_at, n.received_at),
    newest_ordinal = n.newest_ordinal, newest_start = n.newest_start,
    newest_sequence = n.newest_sequence, newest_uptime_ms = n.newest_uptime_ms
  FROM json_to_recordset($1) AS n (device_id text, boot_id text, reason text, received_at timestamptz,
    newest_ordinal integer, newest_start bigint, newest_sequence bigint, newest_uptime_ms bigint)
  WHERE (b.device_id, b.boot_id) = (n.device_id, n.boot_id)`;

// Invariant: last known state only moves forward in the device's own order. The sign of life is the newest arrival as
// the clock says it now: one from a clock that was ahead would hide every silence until the time has come.
const MOVE_STATE = `
  WITH moved AS (
  INSERT INTO device_state AS d (device_id, revision, ordinal, incarnation, start, sequence, boot_id, uptime_ms,
    received_at, heard_at, earliest, latest, basis, digest, segment, next_within_ms, goodbye, envelope)
  SELECT device_id, nextval('state_revision'), ordinal, incarnation, start, sequence, boot_id, uptime_ms,
    received_at, received_at, earliest, latest, basis, decode(digest, 'base64'), segment, next_within_ms, goodbye, envelope
  FROM json_to_recordset($1) AS n (device_id text, ordinal integer, incarnation text, start bigint, sequence bigint,
    boot_id text, uptime_ms bigint, received_at timestamptz, earliest timestamptz, latest timestamptz, basis text,
    digest text, segment integer, next_within_ms bigint, goodbye boolean, envelope text)
  ORDER BY device_id
  ON CONFLICT (device_id) DO UPDATE SET
    revision = EXCLUDED.revision, ordinal = EXCLUDED.ordinal, incarnation = EXCLUDED.incarnation,
    start = EXCLUDED.start, sequence = EXCLUDED.sequence, boot_id = EXCLUDED.boot_id, uptime_ms = EXCLUDED.uptime_ms,
    received_at = EXCLUDED.received_at, heard_at = EXCLUDED.heard_at,
    earliest = EXCLUDED.earliest, latest = EXCLUDED.latest, basis = EXCLUDED.basis, digest = EXCLUDED.digest,
    segment = EXCLUDED.segment, next_within_ms = EXCLUDED.next_within_ms, goodbye = EXCLUDED.goodbye,
    envelope = EXCLUDED.envelope
  WHERE (EXCLUDED.ordinal, EXCLUDED.start, EXCLUDED.sequence) > (d.ordinal, d.start, d.sequence)
  RETURNING device_id),
  paged AS (SELECT device_id, (row_number() OVER () - 1) / $2::integer AS page FROM moved),
  told AS (SELECT pg_notify('paddock_recorded', json_agg(device_id)::text), json_agg(device_id) AS ids FROM paged GROUP BY page)
  SELECT coalesce(json_agg(id), '[]') AS moved FROM told, json_array_elements_text(ids) AS id`;

// A late report moves no state, but the device that sent it is alive.
const HEAR = `
  UPDATE device_state d SET heard_at = n.received_at
  FROM unnest($1::text[], $2::timestamptz[]) AS n (device_id, received_at)
  WHERE d.device_id = n.device_id AND d.heard_at < n.received_at`;

/** Device ids are at most 36 characters, a NOTIFY payload 8,000 bytes. */
const IDS_PER_NOTIFY = 190;

/**
 * Last step of ingest: one transaction for a batch, and one before it when starts or boots are new. What it commits is
 * recorded, once, however often and through however many instances a report came.
 */
export async function recordBatch(
  store: Store,
  batch: readonly AuthenticReport[],
  errorAt: ErrorAt,
  seen: SeenChanges,
): Promise<Recorded> {
  const lives: Alarm[] = [];
  for (;;) {
    const tried = await store.transaction((sql) => recordKnown(sql, batch, errorAt, seen));
    if ('decision' in tried) {
      seen.remember(tried.decision.reports);
      return { ...tried, alarms: [...lives, ...tried.alarms] };
    }
    lives.push(...(await store.transaction((sql) => meet(sql, tried.unseen))));
  }
}

/** Records a batch of starts and boots that are known; writes nothing when one of them is not. */
async function recordKnown(
  sql: Sql,
  batch: readonly AuthenticReport[],
  errorAt: ErrorAt,
  seen: SeenChanges,
): Promise<Recorded | { readonly unseen: readonly AuthenticReport[] }> {
  const loaded = await loadLedger(sql, batch);
  if ('unseen' in loaded) return loaded;
  const decision = decide(batch, loaded.ledger, errorAt);
  const { current, late } = await writeDecision(sql, decision, loaded.ledger.starts, seen);
  const noticed = [...alarmsOf(decision), ...(await liveClones(sql, late, errorAt))];
  return { decision, current, alarms: await addAlarms(sql, noticed, lastArrival(batch)) };
}

/** What is new about a device is told in the transaction that makes it known, so that it is told at least once. */
async function meet(sql: Sql, unseen: readonly AuthenticReport[]): Promise<readonly Alarm[]> {
  return addAlarms(sql, livesOf(await addStarts(sql, unseen)), lastArrival(unseen));
}

const lastArrival = (messages: readonly AuthenticReport[]): WallMs =>
  wallMs(Math.max(...messages.map(({ receivedAt }) => receivedAt)));

/** @returns of the newest report of each device those that became its last known state, and those that came too late */
async function writeDecision(
  sql: Sql,
  decision: Decision,
  before: ReadonlyMap<string, StartEntry>,
  seen: SeenChanges,
): Promise<Record<'current' | 'late', readonly PlacedReport[]>> {
  const arrivals = arrivalsOf(decision);
  const begans = begansOf(decision);
  const starts = [...decision.starts].filter(([key, start]) => before.get(key) !== start);
  const writing: Promise<unknown>[] = [];
  if (starts.length > 0)
    writing.push(
      sql.query(UPDATE_STARTS, [
        JSON.stringify(starts.map(([key, start]) => startRow(start, arrivals.get(key) ?? [], begans.get(key)))),
      ]),
    );
  if (decision.reports.length > 0) {
    // The archive first: while the database writes it, the rest is put together here.
    writing.push(sql.query(ADD_REPORTS, [JSON.stringify(decision.reports.map(archiveRow))]));
    writing.push(sql.query(UPDATE_BOOTS, [JSON.stringify(bootRows(decision))]));
    writing.push(recordTime(sql, decision.clocks, decision.reports, seen));
  }
  const moving = decision.reports.length > 0 ? moveStates(sql, decision.newest) : Promise.resolve([]);
  const [moved] = await Promise.all([moving, ...writing]);
  const forward = new Set(moved);
  const late = decision.newest.filter(({ message }) => !forward.has(message.deviceId));
  await hear(sql, late);
  const current = decision.newest.filter(({ message }) => forward.has(message.deviceId));
  await recordFirmware(sql, current, decision.reports);
  return { current, late };
}

/** By start: when others of the batch arrived says nothing of it, and clone alarms compare starts. */
function arrivalsOf({ outcomes }: Decision): ReadonlyMap<string, readonly WallMs[]> {
  const arrivals = new Map<string, WallMs[]>();
  for (const { message } of outcomes) {
    const key = startKeyOf(message);
    const its = arrivals.get(key);
    if (its) its.push(message.receivedAt);
    else arrivals.set(key, [message.receivedAt]);
  }
  return arrivals;
}

/** Why starts began, as their reports say; the first to say it is believed. */
const begansOf = ({ reports }: Decision): ReadonlyMap<string, Began> =>
  new Map(
    reports
      .toReversed()
      .flatMap(({ message }) => (message.report.began ? [[startKeyOf(message), message.report.began] as const] : [])),
  );

const startRow = (entry: StartEntry, arrivals: readonly WallMs[], began?: Began) => ({
  device_id: entry.deviceId,
  incarnation: entry.incarnation,
  start: entry.start,
  recorded: toMultirange(entry.recorded),
  rejected: entry.rejected,
  dropped_routine: entry.droppedRoutine,
  dropped_events: entry.droppedEvents,
  settled_below: entry.settledBelow,
  abandoned: entry.abandoned,
  ...(began && { began }),
  first_received_at: toInstant(wallMs(Math.min(...arrivals))),
  last_received_at: toInstant(wallMs(Math.max(...arrivals))),
});

/** What archive and last known state have in common. */
const placedRow = ({ message: { deviceId, report, digest, receivedAt, envelope }, interval }: PlacedReport) => ({
  device_id: deviceId,
  incarnation: report.incarnation,
  start: report.start,
  sequence: report.sequence,
  boot_id: report.boot.id,
  uptime_ms: report.uptimeMs,
  segment: report.segment ?? 0,
  received_at: toInstant(receivedAt),
  ...intervalColumns(interval),
  digest: `${digest.replaceAll('-', '+').replaceAll('_', '/')}=`,
  envelope,
});

const archiveRow = (placed: PlacedReport) => ({
  ...placedRow(placed),
  trigger: placed.message.report.trigger.kind,
});

const stateRow = (placed: PlacedReport) => ({
  ...placedRow(placed),
  ordinal: placed.place.ordinal,
  next_within_ms: placed.message.report.nextWithinMs,
  goodbye: placed.message.report.trigger.kind === 'shutdown',
});

function bootRows({ reports, boots }: Decision) {
  const touched = new Map(reports.map(({ message }) => [bootKeyOf(message), message]));
  return [...touched].map(([key, message]) => bootRow(message, boots.get(key)?.newest));
}

function bootRow({ deviceId, report, receivedAt }: AuthenticReport, newest: Newest | null | undefined) {
  if (!newest) throw new Error(`The decision lacks the boot ${report.boot.id}`);
  return {
    device_id: deviceId,
    boot_id: report.boot.id,
    reason: report.boot.reason ?? null,
    received_at: toInstant(receivedAt),
    newest_ordinal: newest.place.ordinal,
    newest_start: newest.place.start,
    newest_sequence: newest.place.sequence,
    newest_uptime_ms: newest.uptimeMs,
  };
}

/** @returns the devices whose last known state moved; every instance is told of them */
async function moveStates(sql: Sql, newest: readonly PlacedReport[]): Promise<string[]> {
  const [row] = await sql.query<{ moved: string[] }>(MOVE_STATE, [
    JSON.stringify(newest.map(stateRow)),
    IDS_PER_NOTIFY,
  ]);
  return row?.moved ?? [];
}

async function hear(sql: Sql, late: readonly PlacedReport[]): Promise<void> {
  if (late.length === 0) return;
  await sql.query(HEAR, [
    late.map(({ message }) => message.deviceId),
    late.map(({ message }) => toInstant(message.receivedAt)),
  ]);
}
