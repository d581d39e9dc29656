import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import { ABANDONED_AFTER_MS, SWEPT_AFTER_MS } from './progress.ts';

// Barred and retired devices are looked at once even if nothing of them is on record: what a database from a backup does
// not know of is there nevertheless.
const DUE = `
  WITH due AS (
    SELECT device_id FROM aws_certificates
    WHERE step = 'leaving' OR step = 'lost' AND asked_at <= $1
      OR step NOT IN ('leaving', 'lost', 'active') AND changed_at <= $2
    UNION
    SELECT device_id FROM aws_things WHERE review = 'wanted'
    UNION
    SELECT device_id FROM devices d WHERE retired_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM aws_things t WHERE t.device_id = d.device_id AND t.review = 'gone')
    UNION
    SELECT device_id FROM device_keys k WHERE revoked_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM device_keys good WHERE good.device_id = k.device_id AND good.revoked_at IS NULL)
      AND (NOT EXISTS (SELECT FROM aws_things t WHERE t.device_id = k.device_id AND t.review IN ('done', 'gone'))
        OR EXISTS (SELECT FROM aws_certificates c WHERE c.device_id = k.device_id AND c.step <> 'lost')))
  SELECT device_id FROM due LEFT JOIN aws_things t USING (device_id)
  WHERE t.device_id IS NULL OR t.retry_at <= clock_timestamp() AND t.held_until <= clock_timestamp()
  ORDER BY t.retry_at NULLS LAST, device_id LIMIT $3`;

/** Devices of which something is to be cleaned up now. @param now the database's clock */
export async function dueDevices(sql: Sql, now: number, limit: number): Promise<string[]> {
  const rows = await sql.query<{ device_id: string }>(DUE, [
    toInstant(wallMs(now - SWEPT_AFTER_MS)),
    toInstant(wallMs(now - ABANDONED_AFTER_MS)),
    limit,
  ]);
  return rows.map(({ device_id }) => device_id);
}
