import { fromInstant, toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql, Store } from '../ports.ts';

/** One day of `reports`, from midnight to midnight UTC by arrival. */
export interface Partition {
  readonly name: string;
  readonly from: WallMs;
  readonly to: WallMs;
}

export interface PartitionPolicy {
  /** Days that are kept after today's; 0 keeps for ever. */
  readonly retentionDays: number;
  /** Days whose partitions stand before they begin. */
  readonly aheadDays?: number;
}

export interface PartitionChanges {
  readonly created: readonly string[];
  readonly dropped: readonly string[];
}

const DAY_MS = 86_400_000;
const AHEAD_DAYS = 7;
const LOCK = 7_233_626;
const DEFAULT_PARTITION = 'reports_default';
const DAY_NAME = /^reports_(\d{4})(\d{2})(\d{2})$/;

/** The partition that a moment of arrival belongs to. */
export function partitionOf(moment: WallMs): Partition {
  const from = wallMs(Math.floor(moment / DAY_MS) * DAY_MS);
  return { name: `reports_${toInstant(from).slice(0, 10).replaceAll('-', '')}`, from, to: wallMs(from + DAY_MS) };
}

/** Which partitions to make and which to drop. Yesterday's stands too: another instance's clock may be behind. */
export function planPartitions(existing: readonly string[], now: WallMs, policy: PartitionPolicy) {
  const { aheadDays = AHEAD_DAYS } = policy;
  const today = partitionOf(now);
  const wanted = Array.from({ length: aheadDays + 2 }, (_, day) =>
    partitionOf(wallMs(today.from + (day - 1) * DAY_MS)),
  );
  const from = keepFrom(now, policy);
  return {
    create: wanted.filter(({ name, to }) => !existing.includes(name) && (from === null || to > from)),
    drop: existing.filter((name) => from !== null && isBefore(name, from)),
    keepFrom: from,
  };
}

/** Reports that arrived before are not kept; null when all are. */
export const keepFrom = (now: WallMs, { retentionDays }: PartitionPolicy): WallMs | null =>
  retentionDays > 0 ? wallMs(partitionOf(now).from - retentionDays * DAY_MS) : null;

function isBefore(name: string, moment: WallMs): boolean {
  const day = DAY_NAME.exec(name);
  return day !== null && name < partitionOf(moment).name;
}

/**
 * Makes the partitions of the coming days and drops those past the retention. Idempotent, and safe on several
 * instances. Waits at most 3 s for a lock each time, so that a long query never makes the ingest wait behind us:
 * it rejects then, and the next call tries again.
 */
export async function keepPartitions(store: Store, now: WallMs, policy: PartitionPolicy): Promise<PartitionChanges> {
  await locked(store, (sql) =>
    sql.query(`CREATE TABLE IF NOT EXISTS ${DEFAULT_PARTITION} PARTITION OF reports DEFAULT`),
  );
  const plan = planPartitions(await partitions(store), now, policy);
  const created: string[] = [];
  for (const partition of plan.create) {
    if (await locked(store, (sql) => createPartition(sql, partition))) created.push(partition.name);
  }
  const dropped: string[] = [];
  for (const name of plan.drop) {
    if (await locked(store, (sql) => dropPartition(sql, name))) dropped.push(name);
  }
  if (plan.keepFrom !== null)
    await store.query(`DELETE FROM ${DEFAULT_PARTITION} WHERE received_at < $1`, [toInstant(plan.keepFrom)]);
  return { created, dropped };
}

/**
 * The same when the service starts. A query of another instance that holds a lock for long is no reason not to start,
 * as long as what arrives now has a place: then the failure is told, and the next turn tries again.
 */
export async function keepPartitionsAtStart(
  store: Store,
  now: WallMs,
  policy: PartitionPolicy,
  failed: (error: unknown) => void,
): Promise<void> {
  try {
    await keepPartitions(store, now, policy);
  } catch (cause) {
    const existing = await partitions(store);
    if (!existing.includes(DEFAULT_PARTITION) && !existing.includes(partitionOf(now).name)) throw cause;
    failed(cause);
  }
}

function locked<T>(store: Store, work: (sql: Sql) => Promise<T>): Promise<T> {
  return store.transaction(async (sql) => {
    await sql.query("SELECT set_config('lock_timeout', '3s', true), pg_advisory_xact_lock($1)", [LOCK]);
    return work(sql);
  });
}

async function partitions(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ name: string }>(
    "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'reports'::regclass ORDER BY 1",
  );
  return rows.map(({ name }) => name);
}

/**
 * Attaching, unlike CREATE ... PARTITION OF, leaves the parent open for reading and writing. Rows of that day that
 * went to the default partition are moved first, with nobody adding to it meanwhile: PostgreSQL refuses otherwise.
 */
async function createPartition(sql: Sql, { name, from, to }: Partition): Promise<boolean> {
  if ((await partitions(sql)).includes(name)) return false;
  const [first, end] = [toInstant(from), toInstant(to)];
  await sql.query(`CREATE TABLE ${name} (LIKE reports INCLUDING ALL)`);
  await sql.query(`LOCK TABLE ${DEFAULT_PARTITION} IN ACCESS EXCLUSIVE MODE`);
  await sql.query(
    `WITH moved AS (DELETE FROM ${DEFAULT_PARTITION} WHERE received_at >= $1 AND received_at < $2 RETURNING *)
     INSERT INTO ${name} SELECT * FROM moved`,
    [first, end],
  );
  await sql.query(`ALTER TABLE reports ATTACH PARTITION ${name} FOR VALUES FROM ('${first}') TO ('${end}')`);
  return true;
}

/** Makes the partition of this name where there is none; a table of another name is left alone. */
export async function makePartition(sql: Sql, name: string): Promise<void> {
  if (name === DEFAULT_PARTITION)
    await sql.query(`CREATE TABLE IF NOT EXISTS ${DEFAULT_PARTITION} PARTITION OF reports DEFAULT`);
  const [, year, month, day] = DAY_NAME.exec(name) ?? [];
  if (year === undefined || (await partitions(sql)).includes(name)) return;
  const { from, to } = partitionOf(fromInstant(`${year}-${month}-${day}T00:00:00.000Z`));
  await sql.query(
    `CREATE TABLE ${name} PARTITION OF reports FOR VALUES FROM ('${toInstant(from)}') TO ('${toInstant(to)}')`,
  );
}

async function dropPartition(sql: Sql, name: string): Promise<boolean> {
  if (!(await partitions(sql)).includes(name)) return false;
  await sql.query(`DROP TABLE ${name}`);
  return true;
}
