import { toInstant } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { AuthenticReport } from './authenticate.ts';
import { firstOfEach } from './ledger.ts';

/** A device that appears under a state file that was never seen before. */
export interface NewIncarnation {
  readonly device_id: string;
  readonly incarnation: string;
  readonly ordinal: number;
}

const LOCK_DEVICES = `
  SELECT FROM devices WHERE device_id = ANY($1) ORDER BY device_id FOR NO KEY UPDATE`;

const ADD_INCARNATIONS = `
  INSERT INTO incarnations (device_id, incarnation, ordinal, first_received_at)
  SELECT n.device_id, n.incarnation,
    coalesce((SELECT max(ordinal) FROM incarnations i WHERE i.device_id = n.device_id), 0)
      + row_number() OVER (PARTITION BY n.device_id ORDER BY n.received_at),
    n.received_at
  FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS n (device_id, incarnation, received_at)
  WHERE NOT EXISTS (
    SELECT FROM incarnations i WHERE i.device_id = n.device_id AND i.incarnation = n.incarnation)
  RETURNING device_id, incarnation, ordinal`;

// Of a start that retention has forgotten nothing is taken any more: what of it was recorded is not known.
const ADD_STARTS = `
  INSERT INTO starts (device_id, incarnation, start, boot_id, first_received_at, last_received_at, settled_below)
  SELECT device_id, incarnation, n.start, boot_id, received_at, received_at,
    CASE WHEN n.start < i.forgotten_below THEN ${Number.MAX_SAFE_INTEGER} ELSE 0 END
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
    AS n (device_id, incarnation, start, boot_id, received_at)
  JOIN incarnations i USING (device_id, incarnation)
  ORDER BY device_id, incarnation, start
  ON CONFLICT DO NOTHING`;

const ADD_BOOTS = `
  INSERT INTO boots (device_id, boot_id, first_received_at, last_received_at)
  SELECT device_id, boot_id, received_at, received_at
  FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS n (device_id, boot_id, received_at)
  ORDER BY device_id, boot_id
  ON CONFLICT DO NOTHING`;

/**
 * Adds starts, and the incarnations and boots that are new with them. Nothing of theirs is recorded yet.
 * @returns the incarnations that are new
 */
export async function addStarts(sql: Sql, unseen: readonly AuthenticReport[]): Promise<NewIncarnation[]> {
  // The lock makes the count of incarnations safe, and who adds never waits for another who does: only a start's first
  // report ever waits for it.
  await sql.query(LOCK_DEVICES, [unseen.map(({ deviceId }) => deviceId)]);
  const lives = firstOfEach(unseen, ({ deviceId, report }) => `${deviceId} ${report.incarnation}`);
  const added = await sql.query<NewIncarnation>(ADD_INCARNATIONS, [
    lives.map(({ deviceId }) => deviceId),
    lives.map(({ report }) => report.incarnation),
    lives.map(({ receivedAt }) => toInstant(receivedAt)),
  ]);
  await sql.query(ADD_STARTS, [
    unseen.map(({ deviceId }) => deviceId),
    unseen.map(({ report }) => report.incarnation),
    unseen.map(({ report }) => report.start),
    unseen.map(({ report }) => report.boot.id),
    unseen.map(({ receivedAt }) => toInstant(receivedAt)),
  ]);
  await sql.query(ADD_BOOTS, [
    unseen.map(({ deviceId }) => deviceId),
    unseen.map(({ report }) => report.boot.id),
    unseen.map(({ receivedAt }) => toInstant(receivedAt)),
  ]);
  return added;
}
