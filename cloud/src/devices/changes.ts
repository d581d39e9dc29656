import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';

/** A change of presence as listeners hear it. */
export interface PresenceChange {
  readonly deviceId: string;
  readonly presence: string;
  readonly previous: string | null;
  readonly since: string;
}

/** Devices that changed behind a revision, oldest change first. */
export interface Changes {
  readonly states: readonly { readonly deviceId: string; readonly revision: number }[];
  readonly presences: readonly (PresenceChange & { readonly revision: number })[];
}

/** How long before its telling a change can have arrived: longer than any batch takes to commit. */
const REORDERED_MS = 30_000;
/** And within how many revisions. */
const REORDERED = 100_000;

const CHANGED = `
  WHERE ($1::text IS NULL OR d.customer_id = $1)
    AND (c.revision > $2 OR c.revision > $3 AND c.moment >= $4::timestamptz)`;

/** The newest revision that was given out. */
export async function currentRevision(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ revision: number }>(
    'SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS revision FROM state_revision',
  );
  return row?.revision ?? 0;
}

/**
 * What changed behind a revision that was told at `at`, and what may have been committed late around it.
 * A revision that was never given out comes from another database: then everything has changed.
 */
export async function changesSince(sql: Sql, scope: Scope, revision: number, at: WallMs): Promise<Changes> {
  const from = revision > (await currentRevision(sql)) ? 0 : revision;
  const reorderedFrom = toInstant(wallMs(Math.max(0, at - REORDERED_MS)));
  const values = [scope.customerId, from, Math.max(0, from - REORDERED), reorderedFrom];
  const states = await sql.query<{ device_id: string; revision: number }>(
    `SELECT d.device_id, c.revision FROM devices d
     JOIN (SELECT device_id, revision, heard_at AS moment FROM device_state) c ON c.device_id = d.device_id
     ${CHANGED} ORDER BY c.revision`,
    values,
  );
  const presences = await sql.query<PresenceRow>(
    `SELECT d.device_id, c.revision, c.state, c.previous, c.moment FROM devices d
     JOIN (SELECT device_id, revision, state, previous, since AS moment FROM presence) c ON c.device_id = d.device_id
     ${CHANGED} ORDER BY c.revision`,
    values,
  );
  return {
    states: states.map((row) => ({ deviceId: row.device_id, revision: row.revision })),
    presences: presences.map(presenceOf),
  };
}

interface PresenceRow {
  device_id: string;
  revision: number;
  state: string;
  previous: string | null;
  moment: Date;
}

const presenceOf = (row: PresenceRow) => ({
  deviceId: row.device_id,
  presence: row.state,
  previous: row.previous,
  since: toInstant(wallMs(row.moment.getTime())),
  revision: row.revision,
});
