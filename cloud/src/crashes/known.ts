import type { Sql } from '../ports.ts';

const KNOWN = 'SELECT crash_id FROM crashes WHERE device_id = $1 AND crash_id = ANY($2)';

/** Of the crash reports that a device names, those that are recorded. Never rejects: the next report names them again. */
export async function knownCrashes(sql: Sql, deviceId: string, ids: readonly string[]): Promise<string[]> {
  try {
    const rows = await sql.query<{ crash_id: string }>(KNOWN, [deviceId, [...ids]]);
    return rows.map(({ crash_id }) => crash_id);
  } catch {
    return [];
  }
}
