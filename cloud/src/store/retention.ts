import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import type { Sql, Store } from '../ports.ts';
import { keepFrom, type PartitionPolicy } from './partitions.ts';

/** Rows that one statement takes at most, and statements of one turn: no lock is held for long, no turn is endless. */
export interface ForgettingPace {
  readonly rows: number;
  readonly steps: number;
}

const PACE: ForgettingPace = { rows: 5_000, steps: 100 };

/**
 * What may still be asked for when a report comes late is kept at least so long, whatever the retention: a device that
 * was away sends what its outbox holds of its older starts, and outboxes keep 60 days unless they are told otherwise.
 */
const LATE_DAYS = 400;

export interface ForgettingPolicy extends PartitionPolicy {
  readonly lateDays?: number;
}

// The newest change of each sensor stays as long as its start: reports that repeat it must not make it new, and the
// count of the next one tells what was never told in between.
const FORGET_CHANGES = `
  WITH old AS (
    SELECT c.ctid FROM changes c
    WHERE c.received_at < $1 AND EXISTS (
      SELECT FROM changes n
      WHERE (n.device_id, n.incarnation, n.start, n.sensor) = (c.device_id, c.incarnation, c.start, c.sensor)
        AND n.changes > c.changes AND n.received_at < $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM changes c USING old WHERE c.ctid = old.ctid RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

// Invariant: what is gone is never recorded again. The row of a start says which of its reports are recorded; once it
// is gone the floor of its incarnation refuses them all. The newest start of a device stays.
const FORGET_STARTS = `
  WITH old AS (
    SELECT s.device_id, s.incarnation, s.start
    FROM starts s JOIN incarnations i USING (device_id, incarnation)
    WHERE s.first_received_at < $1 AND s.last_received_at < $1 AND EXISTS (
      SELECT FROM starts n JOIN incarnations m USING (device_id, incarnation)
      WHERE n.device_id = s.device_id AND (m.ordinal, n.start) > (i.ordinal, s.start))
    LIMIT $2 FOR UPDATE OF s SKIP LOCKED),
  gone AS (
    DELETE FROM starts s USING old
    WHERE (s.device_id, s.incarnation, s.start) = (old.device_id, old.incarnation, old.start)
    RETURNING s.device_id, s.incarnation, s.start),
  floors AS (
    UPDATE incarnations i SET forgotten_below = greatest(i.forgotten_below, g.floor)
    FROM (SELECT device_id, incarnation, max(start) + 1 AS floor FROM gone GROUP BY device_id, incarnation) g
    WHERE (i.device_id, i.incarnation) = (g.device_id, g.incarnation)),
  changes_gone AS (
    DELETE FROM changes c USING gone g WHERE (c.device_id, c.incarnation, c.start) = (g.device_id, g.incarnation, g.start))
  SELECT count(*) AS forgotten FROM gone`;

// A boot is as old as its newest start: without any, nothing that is kept happened in it.
const FORGET_BOOTS = `
  WITH old AS (
    SELECT b.device_id, b.boot_id FROM boots b
    WHERE b.first_received_at < $1 AND b.last_received_at < $1
      AND NOT EXISTS (SELECT FROM starts s WHERE s.device_id = b.device_id AND s.boot_id = b.boot_id)
    LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (
    DELETE FROM boots b USING old WHERE (b.device_id, b.boot_id) = (old.device_id, old.boot_id)
    RETURNING b.device_id, b.boot_id),
  clocks_gone AS (DELETE FROM clocks c USING gone g WHERE (c.device_id, c.boot_id) = (g.device_id, g.boot_id)),
  pieces_gone AS (DELETE FROM clock_history h USING gone g WHERE (h.device_id, h.boot_id) = (g.device_id, g.boot_id))
  SELECT count(*) AS forgotten FROM gone`;

// Of a boot that goes on, what its clock knew of moments that are past the retention.
const FORGET_PIECES = `
  WITH old AS (SELECT ctid FROM clock_history WHERE closed_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM clock_history h USING old WHERE h.ctid = old.ctid RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

const FORGET_INVENTORY_CHANGES = `
  WITH old AS (
    SELECT c.change_id FROM inventory_changes c JOIN inventories v USING (inventory_id)
    WHERE v.received_at < $1 LIMIT $2 FOR UPDATE OF c SKIP LOCKED),
  gone AS (DELETE FROM inventory_changes c USING old WHERE c.change_id = old.change_id RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

// The newest of those that are past the retention stays: it says what the device was made of when the retention began.
const FORGET_INVENTORIES = `
  WITH old AS (
    SELECT v.inventory_id FROM inventories v
    WHERE v.received_at < $1
      AND EXISTS (SELECT FROM inventories n
        WHERE n.device_id = v.device_id AND n.inventory_id > v.inventory_id AND n.received_at < $1)
      AND NOT EXISTS (SELECT FROM current_inventories c WHERE c.inventory_id = v.inventory_id)
      AND NOT EXISTS (SELECT FROM inventory_changes c WHERE c.inventory_id = v.inventory_id)
      AND NOT EXISTS (SELECT FROM inventory_changes c WHERE c.previous_id = v.inventory_id)
    LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM inventories v USING old WHERE v.inventory_id = old.inventory_id RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

// The newest of those that are past the retention stays: it says what the device ran when the retention began.
const FORGET_FIRMWARE = `
  WITH old AS (
    SELECT c.change_id FROM firmware_changes c
    WHERE c.received_at < $1 AND EXISTS (
      SELECT FROM firmware_changes n
      WHERE n.device_id = c.device_id AND (n.ordinal, n.start, n.sequence) > (c.ordinal, c.start, c.sequence) AND n.received_at < $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM firmware_changes c USING old WHERE c.change_id = old.change_id RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

const FORGET_CRASHES = `
  WITH old AS (
    SELECT c.crash_number FROM crashes c WHERE c.received_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM crashes c USING old WHERE c.crash_number = old.crash_number RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

const STEPS = {
  changes: { statement: FORGET_CHANGES, mayBeLate: false },
  starts: { statement: FORGET_STARTS, mayBeLate: true },
  boots: { statement: FORGET_BOOTS, mayBeLate: true },
  clockHistory: { statement: FORGET_PIECES, mayBeLate: true },
  inventoryChanges: { statement: FORGET_INVENTORY_CHANGES, mayBeLate: false },
  inventories: { statement: FORGET_INVENTORIES, mayBeLate: false },
  firmwareChanges: { statement: FORGET_FIRMWARE, mayBeLate: false },
  crashes: { statement: FORGET_CRASHES, mayBeLate: false },
} as const;
type Forgotten = Record<keyof typeof STEPS, number>;

/**
 * Forgets what is known of starts, boots, clocks and changes when it belongs to no report that is kept,, old
 * inventories, crash reports, and what devices ran before, in steps of bounded size. What one turn leaves, the next one takes. Safe beside ingest: rows that it holds are passed over.
 */
export async function forgetOld(
  store: Store,
  now: WallMs,
  { retentionDays, lateDays = LATE_DAYS }: ForgettingPolicy,
  pace: ForgettingPace = PACE,
): Promise<Forgotten> {
  const forgotten: Forgotten = {
    changes: 0,
    starts: 0,
    boots: 0,
    clockHistory: 0,
    inventoryChanges: 0,
    inventories: 0,
    firmwareChanges: 0,
    crashes: 0,
  };
  for (const what of Object.keys(STEPS) as (keyof typeof STEPS)[]) {
    const { statement, mayBeLate } = STEPS[what];
    const days = mayBeLate && retentionDays > 0 ? Math.max(retentionDays, lateDays) : retentionDays;
    const before = keepFrom(now, { retentionDays: days });
    for (let step = 0; before !== null && step < pace.steps; step += 1) {
      const count = await store.transaction((sql) => forget(sql, statement, before, pace.rows));
      forgotten[what] += count;
      if (count < pace.rows) break;
    }
  }
  return forgotten;
}

async function forget(sql: Sql, statement: string, before: WallMs, rows: number): Promise<number> {
  const [row] = await sql.query<{ forgotten: number }>(statement, [toInstant(before), rows]);
  return row?.forgotten ?? 0;
}
