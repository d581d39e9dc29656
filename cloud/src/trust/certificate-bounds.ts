import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql, Store } from '../ports.ts';
import { TrustError } from './errors.ts';

const DAY_MS = 86_400_000;
/** A device renews every ten days; one whose every certificate is refused asks a dozen times in the first day. */
export const MOST_A_DAY = 24;
/** Whoever looks into what happened wants to know whose certificate it was. */
const KEPT_MS = 30 * DAY_MS;

/** Rows that one statement takes at most, and statements of one turn. */
const PACE = { rows: 5_000, steps: 100 } as const;

/**
 * A device that renews in a loop must not fill the table: with the life of certificates and the time that rows are kept
 * this bounds its rows. @throws TrustError `certificates_too_many`
 */
export async function requireRoom(sql: Sql, deviceId: string): Promise<void> {
  const [row] = await sql.query<{ issued: number }>(
    `SELECT count(*) AS issued FROM certificates WHERE device_id = $1 AND issued_at > now() - interval '1 day'`,
    [deviceId],
  );
  if ((row?.issued ?? 0) >= MOST_A_DAY) throw new TrustError('certificates_too_many', deviceId);
}

// The newest one of a device stays: that it ever had one keeps others from coming in its place without any.
const FORGET = `
  WITH old AS (
    SELECT c.serial FROM certificates c
    WHERE c.not_after < $1 AND EXISTS (
      SELECT FROM certificates n
      WHERE n.device_id = c.device_id AND (n.not_after, n.serial) > (c.not_after, c.serial))
    LIMIT $2 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM certificates c USING old WHERE c.serial = old.serial RETURNING 1)
  SELECT count(*) AS forgotten FROM gone`;

/**
 * Forgets certificates that expired a month ago, in steps of bounded size; what one turn leaves, the next one takes.
 * @returns how many
 */
export async function forgetCertificates(
  store: Store,
  now: WallMs,
  pace: { readonly rows: number; readonly steps: number } = PACE,
): Promise<number> {
  const before = toInstant(wallMs(now - KEPT_MS));
  let forgotten = 0;
  for (let step = 0; step < pace.steps; step += 1) {
    const count = await store.transaction((sql) => forget(sql, before, pace.rows));
    forgotten += count;
    if (count < pace.rows) break;
  }
  return forgotten;
}

async function forget(sql: Sql, before: string, rows: number): Promise<number> {
  const [row] = await sql.query<{ forgotten: number }>(FORGET, [before, rows]);
  return row?.forgotten ?? 0;
}
