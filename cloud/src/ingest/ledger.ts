import type { Rejection } from '@paddock/shared/answer.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { ClockFault } from '../clock/evidence.ts';
import { unpackClock, type PackedClock } from '../clock/packed.ts';
import type { Sql } from '../ports.ts';
import type { AuthenticReport } from './authenticate.ts';
import type { Newest } from './order.ts';
import { contains, fromMultirange, type SequenceRanges } from './ranges.ts';
import { clockKey, clockKeyOf, type ClockEntry } from './reconcile.ts';

/** What is known of one start of an agent. */
export interface StartEntry {
  readonly deviceId: string;
  readonly incarnation: string;
  readonly start: number;
  /** Place of the incarnation among the device's incarnations. */
  readonly ordinal: number;
  readonly bootId: string;
  readonly firstReceivedAt: Date;
  readonly recorded: SequenceRanges;
  readonly rejected: readonly Rejection[];
  /** What the device's outbox had to drop, by its newest count. */
  readonly droppedRoutine: number;
  readonly droppedEvents: number;
  /** Holes are bounded: below, nothing more is awaited, and so many never came. */
  readonly settledBelow: number;
  readonly abandoned: number;
}

/** What is known of one boot of a device. */
export interface BootEntry {
  /** Null while none of its reports is recorded. */
  readonly newest: Newest | null;
}

/** All that is known about what a batch speaks of, locked until the batch is recorded. */
export interface Ledger {
  readonly starts: Map<string, StartEntry>;
  readonly boots: Map<string, BootEntry>;
  readonly clocks: Map<string, ClockEntry>;
  /** Digests of reports that are recorded under an identity of this batch. */
  readonly digests: Map<string, string>;
}

export const startKey = (deviceId: string, incarnation: string, start: number): string =>
  `${deviceId} ${incarnation} ${start}`;
export const bootKey = (deviceId: string, bootId: string): string => `${deviceId} ${bootId}`;
export const bootKeyOf = ({ deviceId, report }: AuthenticReport): string => bootKey(deviceId, report.boot.id);
export const identityKey = ({ deviceId, report }: AuthenticReport): string =>
  `${startKey(deviceId, report.incarnation, report.start)} ${report.sequence}`;
export const startKeyOf = ({ deviceId, report }: AuthenticReport): string =>
  startKey(deviceId, report.incarnation, report.start);

interface StartRow {
  device_id: string;
  incarnation: string;
  start: number;
  ordinal: number;
  boot_id: string;
  first_received_at: Date;
  recorded: string;
  rejected: Rejection[];
  dropped_routine: number;
  dropped_events: number;
  settled_below: number;
  abandoned: number;
}

interface BootRow {
  device_id: string;
  boot_id: string;
  /** All of these, or none. */
  newest_ordinal: number | null;
  newest_start: number | null;
  newest_sequence: number | null;
  newest_uptime_ms: number | null;
}

interface ClockRow {
  device_id: string;
  boot_id: string;
  segment: number;
  ordinal: number;
  start: number;
  record: PackedClock;
  faults: ClockFault[];
}

// Rows are locked in one order everywhere (starts, then boots, each sorted), so that batches never deadlock, be they of
// one instance or of several. No batch adds a row of these: its lock would come after those of rows that sort behind it.
const LOCK_STARTS = `
  SELECT s.device_id, s.incarnation, s.start, i.ordinal, s.boot_id, s.first_received_at, s.recorded::text, s.rejected,
    s.dropped_routine, s.dropped_events, s.settled_below, s.abandoned
  FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (device_id, incarnation, start)
  JOIN starts s USING (device_id, incarnation, start)
  JOIN incarnations i USING (device_id, incarnation)
  ORDER BY s.device_id, s.incarnation, s.start
  FOR UPDATE OF s`;

const LOCK_BOOTS = `
  SELECT b.*
  FROM unnest($1::text[], $2::text[]) AS wanted (device_id, boot_id) JOIN boots b USING (device_id, boot_id)
  ORDER BY b.device_id, b.boot_id
  FOR UPDATE OF b`;

// Asked when the boots are locked: whoever writes a clock holds its boot, and a join would read what was before the wait.
const CLOCKS = `
  SELECT c.*
  FROM unnest($1::text[], $2::text[], $3::integer[]) AS wanted (device_id, boot_id, segment)
  JOIN clocks c USING (device_id, boot_id, segment)`;

const RECORDED_DIGESTS = `
  SELECT r.device_id, r.incarnation, r.start, r.sequence, encode(r.digest, 'base64') AS digest
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS wanted (device_id, incarnation, start, sequence)
  JOIN reports r USING (device_id, incarnation, start, sequence)
  WHERE r.received_at >= $5`;

/**
 * Reads and locks what a batch speaks of.
 * @returns instead a report of each start that is not known yet, or whose boot is not: they have to be added first, in a
 *   transaction of their own. In this one that would be a lock out of order, and two batches would wait for each other.
 */
export async function loadLedger(
  sql: Sql,
  batch: readonly AuthenticReport[],
): Promise<{ readonly ledger: Ledger } | { readonly unseen: readonly AuthenticReport[] }> {
  const known = await lockKnown(sql, batch, firstOfEach(batch, startKeyOf));
  const unseen = batch.filter((message) => isUnseen(message, known));
  if (unseen.length > 0) return { unseen: firstOfEach(unseen, startKeyOf) };
  return { ledger: { ...known, digests: await recordedDigests(sql, batch, known.starts) } };
}

/** A report that names another boot than its start does is refused: that boot is not asked for. */
function isUnseen(message: AuthenticReport, { starts, boots }: Pick<Ledger, 'starts' | 'boots'>): boolean {
  const start = starts.get(startKeyOf(message));
  return start === undefined || (start.bootId === message.report.boot.id && !boots.has(bootKeyOf(message)));
}

/** Sent together and run one after the other: each reads what was committed while the one before waited for its locks. */
async function lockKnown(
  sql: Sql,
  batch: readonly AuthenticReport[],
  firsts: readonly AuthenticReport[],
): Promise<Omit<Ledger, 'digests'>> {
  const [starts, boots, clocks] = await Promise.all([
    lockStarts(sql, firsts),
    lockBoots(sql, batch),
    readClocks(sql, batch),
  ]);
  return { starts, boots, clocks };
}

export function firstOfEach(batch: readonly AuthenticReport[], keyOf: (message: AuthenticReport) => string) {
  const firsts = new Map<string, AuthenticReport>();
  for (const message of batch) if (!firsts.has(keyOf(message))) firsts.set(keyOf(message), message);
  return [...firsts.values()];
}

async function lockStarts(sql: Sql, wanted: readonly AuthenticReport[]): Promise<Map<string, StartEntry>> {
  const rows = await sql.query<StartRow>(LOCK_STARTS, [
    wanted.map(({ deviceId }) => deviceId),
    wanted.map(({ report }) => report.incarnation),
    wanted.map(({ report }) => report.start),
  ]);
  return new Map(rows.map((row) => [startKey(row.device_id, row.incarnation, row.start), startEntry(row)]));
}

const startEntry = (row: StartRow): StartEntry => ({
  deviceId: row.device_id,
  incarnation: row.incarnation,
  start: row.start,
  ordinal: row.ordinal,
  bootId: row.boot_id,
  firstReceivedAt: row.first_received_at,
  recorded: fromMultirange(row.recorded),
  rejected: row.rejected,
  droppedRoutine: row.dropped_routine,
  droppedEvents: row.dropped_events,
  settledBelow: row.settled_below,
  abandoned: row.abandoned,
});

async function lockBoots(sql: Sql, batch: readonly AuthenticReport[]): Promise<Map<string, BootEntry>> {
  const wanted = firstOfEach(batch, bootKeyOf);
  const rows = await sql.query<BootRow>(LOCK_BOOTS, [
    wanted.map(({ deviceId }) => deviceId),
    wanted.map(({ report }) => report.boot.id),
  ]);
  return new Map(rows.map((row) => [bootKey(row.device_id, row.boot_id), bootEntry(row)]));
}

function bootEntry({
  newest_ordinal: ordinal,
  newest_start: start,
  newest_sequence: sequence,
  ...row
}: BootRow): BootEntry {
  const { newest_uptime_ms: uptimeMs } = row;
  if (ordinal === null || start === null || sequence === null || uptimeMs === null) return { newest: null };
  return { newest: { place: { ordinal, start, sequence }, uptimeMs } };
}

async function readClocks(sql: Sql, batch: readonly AuthenticReport[]): Promise<Map<string, ClockEntry>> {
  const wanted = firstOfEach(batch, clockKeyOf);
  const rows = await sql.query<ClockRow>(CLOCKS, [
    wanted.map(({ deviceId }) => deviceId),
    wanted.map(({ report }) => report.boot.id),
    wanted.map(({ report }) => report.segment ?? 0),
  ]);
  return new Map(rows.map((row) => [clockKey(row.device_id, row.boot_id, row.segment), clockEntry(row)]));
}

const clockEntry = (row: ClockRow): ClockEntry => ({
  deviceId: row.device_id,
  bootId: row.boot_id,
  segment: row.segment,
  ordinal: row.ordinal,
  start: row.start,
  record: unpackClock(row.record),
  faults: row.faults,
});

const isSettled = ({ recorded, settledBelow }: StartEntry, sequence: number): boolean =>
  sequence < settledBelow || contains(recorded, sequence);

/** Repeats are rare: only for them is the archive asked what it holds. */
async function recordedDigests(
  sql: Sql,
  batch: readonly AuthenticReport[],
  starts: ReadonlyMap<string, StartEntry>,
): Promise<Map<string, string>> {
  const known = batch.flatMap((message) => {
    const start = starts.get(startKeyOf(message));
    return start && isSettled(start, message.report.sequence) ? [{ message, start }] : [];
  });
  if (known.length === 0) return new Map();
  const rows = await sql.query<{
    device_id: string;
    incarnation: string;
    start: number;
    sequence: number;
    digest: string;
  }>(RECORDED_DIGESTS, [
    known.map(({ message }) => message.deviceId),
    known.map(({ message }) => message.report.incarnation),
    known.map(({ message }) => message.report.start),
    known.map(({ message }) => message.report.sequence),
    // Nothing of these starts is older, which spares the partitions before.
    toInstant(wallMs(Math.min(...known.map(({ start }) => start.firstReceivedAt.getTime())))),
  ]);
  return new Map(
    rows.map((row) => [
      `${startKey(row.device_id, row.incarnation, row.start)} ${row.sequence}`,
      row.digest.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
    ]),
  );
}
