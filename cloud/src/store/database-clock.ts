import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';

/** The one clock that all instances share: what several of them order or time together goes by it. */
export async function databaseNow(sql: Sql): Promise<WallMs> {
  const [row] = await sql.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  if (row === undefined) throw new Error('The database did not say what time it is');
  return wallMs(row.now.getTime());
}
