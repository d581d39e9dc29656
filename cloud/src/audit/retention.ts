import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Store } from '../ports.ts';

const DAY_MS = 86_400_000;

/**
 * Forgets entries that are past the retention, oldest first and never the newest: the database writes an entry that says
 * which. At most so many rows a turn.
 * @param retentionDays 0 keeps for ever
 */
export async function forgetAudit(
  store: Store,
  now: WallMs,
  { retentionDays, rows = 50_000 }: { readonly retentionDays: number; readonly rows?: number },
): Promise<number> {
  if (retentionDays === 0) return 0;
  return store.transaction(async (sql) => {
    await sql.query("SELECT set_config('paddock.audit_retention', 'yes', true)");
    const [row] = await sql.query<{ forgotten: number }>(
      // The first entry that is young enough ends it, so that what goes is the beginning of the chain, whatever clocks did.
      `WITH oldest AS (SELECT seq, at FROM audit_log ORDER BY seq LIMIT $2),
       kept AS (SELECT coalesce(min(seq) FILTER (WHERE at >= $1), max(seq) + 1) AS seq FROM oldest),
       gone AS (
         DELETE FROM audit_log a USING kept
         WHERE a.seq < kept.seq AND a.seq < (SELECT max(seq) FROM audit_log) RETURNING 1)
       SELECT count(*) AS forgotten FROM gone`,
      [toInstant(wallMs(now - retentionDays * DAY_MS)), rows],
    );
    return row?.forgotten ?? 0;
  });
}
