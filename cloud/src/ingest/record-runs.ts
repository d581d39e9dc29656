import { toInstant } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import {
  isSameRelease,
  withSighting,
  type Beside,
  type Placed,
  type Running,
  type Sighting,
  type Stretch,
} from './firmware-history.ts';
import { isAfter } from './order.ts';
import type { PlacedReport } from './reconcile.ts';
import { intervalColumns } from './record-time.ts';

/** What is kept of a report that shows, or does not show yet, what runs. */
interface Mark {
  readonly incarnation: string;
  readonly boot_id: string;
  readonly segment: number;
  readonly uptime_ms: number;
  readonly received_at: Date | string;
  readonly earliest: Date | string | null;
  readonly latest: Date | string;
  readonly basis: string;
}

interface ReportRow extends Mark {
  readonly ordinal: number;
  readonly start: number;
  readonly sequence: number;
}

type BeforeRow = {
  readonly [Name in keyof Omit<ReportRow, 'incarnation' | 'ordinal'> as `before_${Name}`]: ReportRow[Name] | null;
};

interface StretchRow extends ReportRow, BeforeRow {
  readonly change_id: number;
  readonly device_id: string;
  readonly name: string | null;
  readonly version: string;
  readonly counter: number;
  readonly sha256: string;
  readonly slot: string | null;
}

interface NewestRow extends ReportRow {
  readonly device_id: string;
  /** What it runs and has committed; null where it says neither. */
  readonly running: Running | false;
}

// The lock makes batches that speak of one device come one after the other.
const LOCK = 'SELECT FROM device_firmware WHERE device_id = ANY($1) ORDER BY device_id FOR NO KEY UPDATE';

const NEWEST = `
  SELECT s.device_id, s.incarnation, s.ordinal, s.start, s.sequence, s.boot_id, s.segment, s.uptime_ms, s.received_at,
    s.earliest, s.latest, s.basis, CASE WHEN f.committed THEN coalesce(f.reported -> 'running', 'null') ELSE 'false' END AS running
  FROM device_firmware f JOIN device_state s USING (device_id) WHERE f.device_id = ANY($1)`;

const HISTORY = 'SELECT * FROM firmware_changes WHERE device_id = ANY($1) ORDER BY device_id, ordinal, start, sequence';

const ROWS = `json_to_recordset($1) AS n (change_id bigint, device_id text, name text, version text, counter bigint,
    sha256 text, slot text, incarnation text, ordinal integer, start bigint, sequence bigint, boot_id text,
    segment integer, uptime_ms bigint, received_at timestamptz, earliest timestamptz, latest timestamptz, basis text,
    before_start bigint, before_sequence bigint, before_boot_id text, before_segment integer, before_uptime_ms bigint,
    before_received_at timestamptz, before_earliest timestamptz, before_latest timestamptz, before_basis text)`;

const MOVE = `
  UPDATE firmware_changes c SET start = n.start, sequence = n.sequence, incarnation = n.incarnation, ordinal = n.ordinal,
    boot_id = n.boot_id, segment = n.segment, uptime_ms = n.uptime_ms, received_at = n.received_at,
    earliest = n.earliest, latest = n.latest, basis = n.basis, before_start = n.before_start,
    before_sequence = n.before_sequence, before_boot_id = n.before_boot_id, before_segment = n.before_segment,
    before_uptime_ms = n.before_uptime_ms, before_received_at = n.before_received_at,
    before_earliest = n.before_earliest, before_latest = n.before_latest, before_basis = n.before_basis
  FROM ${ROWS} WHERE c.change_id = n.change_id`;

const ADD = `
  INSERT INTO firmware_changes (device_id, name, version, counter, sha256, slot, incarnation, ordinal, start, sequence,
    boot_id, segment, uptime_ms, received_at, earliest, latest, basis, before_start, before_sequence, before_boot_id,
    before_segment, before_uptime_ms, before_received_at, before_earliest, before_latest, before_basis)
  SELECT device_id, name, version, counter, sha256, slot, incarnation, ordinal, start, sequence,
    boot_id, segment, uptime_ms, received_at, earliest, latest, basis, before_start, before_sequence, before_boot_id,
    before_segment, before_uptime_ms, before_received_at, before_earliest, before_latest, before_basis
  FROM ${ROWS} ORDER BY device_id, ordinal, start, sequence`;

// What comes with it and is still to be put in its place says for itself what it shows.
const AROUND = `
  (SELECT ordinal, r.* FROM incarnations i JOIN reports r USING (device_id, incarnation)
   WHERE device_id = $1 AND ordinal = $2 AND (r.start, r.sequence) < ($3, $4) AND ordinal || ' ' || r.start || ' ' || r.sequence <> ALL ($5)
   ORDER BY r.start DESC, r.sequence DESC LIMIT 1)
  UNION ALL
  (SELECT ordinal, r.* FROM incarnations i JOIN reports r USING (device_id, incarnation)
   WHERE device_id = $1 AND ordinal = $2 AND (r.start, r.sequence) > ($3, $4) AND ordinal || ' ' || r.start || ' ' || r.sequence <> ALL ($5)
   ORDER BY r.start, r.sequence LIMIT 1)`;

/**
 * Takes down what devices ran and had committed, in their own order, whenever their reports come.
 * @param reports those that say it; of each device the newest first, then in order
 */
export async function recordRuns(sql: Sql, reports: readonly PlacedReport[]): Promise<void> {
  if (reports.length === 0) return;
  const byDevice = Map.groupBy(reports, ({ message }) => message.deviceId);
  const ids = [...byDevice.keys()];
  await sql.query(LOCK, [ids]);
  const newest = new Map((await sql.query<NewestRow>(NEWEST, [ids])).map((row) => [row.device_id, row]));
  const known = Map.groupBy(await sql.query<StretchRow>(HISTORY, [ids]), ({ device_id }) => device_id);
  const [moved, added]: [object[], object[]] = [[], []];
  for (const [deviceId, its] of byDevice) {
    const before = (known.get(deviceId) ?? []).map(stretchOf);
    const history = await historyWith(sql, before, its, newest.get(deviceId));
    const same = new Set(before);
    for (const stretch of history)
      if (!same.has(stretch)) (stretch.id === null ? added : moved).push(rowOf(deviceId, stretch));
  }
  if (moved.length > 0) await sql.query(MOVE, [JSON.stringify(moved)]);
  if (added.length > 0) await sql.query(ADD, [JSON.stringify(added)]);
}

/** The reports around one are looked for only where a stretch begins. */
async function historyWith(
  sql: Sql,
  before: readonly Stretch<Mark>[],
  reports: readonly PlacedReport[],
  newest: NewestRow | undefined,
): Promise<readonly Stretch<Mark>[]> {
  let history = before;
  for (const [at, report] of reports.entries())
    for (const seen of sightingOf(report)) {
      const beside = { newest: lastOf(history, newest), before: null, after: null };
      const next = withSighting(history, seen, beside);
      const isBegun = next.some(({ id, shown }) => id === null && shown.mark === seen.mark);
      history = isBegun
        ? withSighting(history, seen, { ...beside, ...(await around(sql, report, reports.slice(at + 1))) })
        : next;
    }
  return history;
}

async function around(
  sql: Sql,
  { message: { deviceId }, place }: PlacedReport,
  others: readonly PlacedReport[],
): Promise<Pick<Beside<Mark>, 'before' | 'after'>> {
  const left = others.map((one) => `${one.place.ordinal} ${one.place.start} ${one.place.sequence}`);
  const rows = await sql.query<ReportRow>(AROUND, [deviceId, place.ordinal, place.start, place.sequence, left]);
  const found = rows.map(placedOf);
  return {
    before: found.find((one) => isAfter(place, one.place)) ?? null,
    after: found.find((one) => isAfter(one.place, place)) ?? null,
  };
}

/** The newest report bounds the last stretch only when it shows that. */
function lastOf(history: readonly Stretch<Mark>[], row: NewestRow | undefined): Placed<Mark> | null {
  const last = history.at(-1);
  if (row === undefined || last === undefined || row.running === false) return null;
  return isSameRelease(row.running, last.running) ? placedOf(row) : null;
}

function sightingOf({ message: { report, receivedAt }, place, interval }: PlacedReport): Sighting<Mark>[] {
  const { firmware, incarnation, boot, segment = 0, uptimeMs } = report;
  if (firmware === undefined) return [];
  const mark = {
    incarnation,
    boot_id: boot.id,
    segment,
    uptime_ms: uptimeMs,
    received_at: toInstant(receivedAt),
    ...intervalColumns(interval),
  };
  return [{ place, mark, running: firmware.running, slot: firmware.slot }];
}

const markOf = ({ incarnation, boot_id, segment, uptime_ms, received_at, earliest, latest, basis }: Mark): Mark => ({
  incarnation,
  boot_id,
  segment,
  uptime_ms,
  received_at,
  earliest,
  latest,
  basis,
});

const placedOf = (row: ReportRow): Placed<Mark> => ({
  place: { ordinal: row.ordinal, start: row.start, sequence: row.sequence },
  mark: markOf(row),
});

function stretchOf(row: StretchRow): Stretch<Mark> {
  const { change_id: id, name, version, counter, sha256, slot } = row;
  return {
    id,
    running: name === null ? null : { name, version, counter, sha256 },
    slot,
    shown: placedOf(row),
    before: beforeOf(row),
  };
}

function beforeOf(row: StretchRow): Placed<Mark> | null {
  const {
    before_start: start,
    before_sequence: sequence,
    before_boot_id: bootId,
    before_received_at: receivedAt,
  } = row;
  if (start === null || sequence === null || bootId === null || receivedAt === null) return null;
  return placedOf({
    incarnation: row.incarnation,
    ordinal: row.ordinal,
    start,
    sequence,
    boot_id: bootId,
    segment: row.before_segment ?? 0,
    uptime_ms: row.before_uptime_ms ?? 0,
    received_at: receivedAt,
    earliest: row.before_earliest,
    latest: row.before_latest ?? receivedAt,
    basis: row.before_basis ?? 'arrival',
  });
}

function rowOf(deviceId: string, { id, running, slot, shown, before }: Stretch<Mark>): object {
  const { name = null, version = null, counter = null, sha256 = null } = running ?? {};
  const own = {
    change_id: id,
    device_id: deviceId,
    name,
    version,
    counter,
    sha256,
    slot,
    ...shown.place,
    ...shown.mark,
  };
  if (before === null) return own;
  const kept = { ...before.place, ...before.mark };
  // Its life is that of the report that shows the release.
  const named = Object.entries(kept).map(([column, value]): [string, unknown] => [`before_${column}`, value]);
  return { ...own, ...Object.fromEntries(named) };
}
