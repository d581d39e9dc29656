import type { ReportedDesired } from '@paddock/shared/desired.ts';
import { actAs } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';

/** What newest reports say, by device. */
export type Reported = ReadonlyMap<string, ReportedDesired | null>;

// In order: whoever hands out a release or takes it back writes several of these rows, too.
const LOCK = 'SELECT FROM desired_states WHERE device_id = ANY($1) ORDER BY device_id FOR NO KEY UPDATE';

const WRITE = `
  UPDATE desired_states t SET reported = n.reported, reported_at = clock_timestamp(), revision = nextval('state_revision')
  FROM json_to_recordset($1) AS n (device_id text, reported jsonb)
  WHERE t.device_id = n.device_id AND t.reported IS DISTINCT FROM n.reported`;

// A restored database may not know of what was set after its backup. Its device goes by it until it is told otherwise.
const ADD_UNKNOWN = `
  INSERT INTO desired_states (device_id, version, state, changed_by)
  SELECT d.device_id, 1, '{}', 'service' FROM devices d WHERE d.device_id = ANY($1) AND d.retired_at IS NULL
  ORDER BY d.device_id
  ON CONFLICT DO NOTHING`;

/** Writes down what was reported, where it is something else than before. In a transaction. */
export async function writeReported(sql: Sql, reported: Reported, unknown: readonly string[]): Promise<void> {
  if (unknown.length > 0) {
    await actAs(sql, 'service');
    await sql.query(ADD_UNKNOWN, [unknown]);
  }
  await sql.query(LOCK, [[...reported.keys()]]);
  const rows = [...reported].map(([device_id, value]) => ({ device_id, reported: value }));
  await sql.query(WRITE, [JSON.stringify(rows)]);
}
