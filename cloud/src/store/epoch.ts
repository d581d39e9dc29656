import type { Sql } from '../ports.ts';

/** In which versions of desired state are compared: each restore of a backup opens a new one, greater than all before. */
export async function currentEpoch(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ epoch: number }>('SELECT max(epoch) AS epoch FROM epochs');
  return row?.epoch ?? 0;
}
