import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';

/** A change of presence as listeners hear it. */
export interface PresenceChange {
  readonly deviceId: string;
  readonly presence: string;
  readonly previous: string | null;
  readonly since: string;
}

/**
 * Where a listener stands in the stream of changes; the same in every instance, because it is the database's own.
 * Transactions commit in another order than they take their revisions, so a revision alone would lose what commits
 * late: of every transaction before the horizon the listener was told, of one from there on perhaps not.
 */
export interface Position {
  /** The newest revision that was given out. */
  readonly revision: number;
  /** The oldest transaction that was still under way (PostgreSQL's pg_snapshot_xmin). */
  readonly horizon: number;
}

/** Devices that changed behind a position, oldest change first. */
export interface Changes {
  /** The position is not this database's: everything is told. */
  readonly isReset: boolean;
  readonly states: readonly { readonly deviceId: string; readonly revision: number }[];
  readonly presences: readonly (PresenceChange & { readonly revision: number })[];
  /** Devices of which something else is desired, or reported of it. */
  readonly desired: readonly { readonly deviceId: string; readonly revision: number }[];
}

/** More revisions than are given out while one transaction is under way. */
const REORDERED = 1_000_000;

// A row says by which transaction it was written (xmin), in 32 bits that come round: compared as those are.
const CHANGED = `
  WHERE ($1::text IS NULL OR d.customer_id = $1)
    AND (c.revision > $2 OR c.revision > $3 AND (c.written_by::text::bigint - $4) & 4294967295 < 2147483648)`;

interface PositionRow {
  revision: number;
  horizon: number;
  next: number;
}

const POSITION = `
  SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS revision,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next
  FROM state_revision`;

async function readPosition(sql: Sql): Promise<PositionRow> {
  const [row] = await sql.query<PositionRow>(POSITION);
  if (row === undefined) throw new Error('The database did not say where its changes stand');
  return row;
}

/** A position that every change which is visible now lies before. */
export async function currentPosition(sql: Sql): Promise<Position> {
  const { revision, horizon } = await readPosition(sql);
  return { revision, horizon };
}

/**
 * What changed behind a position, and what was under way there.
 * One that was never given out comes from another database: then everything has changed.
 */
export async function changesSince(sql: Sql, scope: Scope, { revision, horizon }: Position): Promise<Changes> {
  const now = await readPosition(sql);
  const isReset = revision > now.revision || horizon > now.next;
  const from = isReset ? 0 : revision;
  const values = [scope.customerId, from, Math.max(0, from - REORDERED), horizon];
  const states = await sql.query<ChangedRow>(changedIn('device_state'), values);
  const desired = await sql.query<ChangedRow>(changedIn('desired_states'), values);
  const presences = await sql.query<PresenceRow>(
    `SELECT d.device_id, c.revision, c.state, c.previous, c.moment FROM devices d
     JOIN (SELECT device_id, revision, state, previous, since AS moment, xmin AS written_by FROM presence) c ON c.device_id = d.device_id
     ${CHANGED} ORDER BY c.revision`,
    values,
  );
  return {
    isReset,
    states: states.map(changedOf),
    presences: presences.map(presenceOf),
    desired: desired.map(changedOf),
  };
}

interface ChangedRow {
  device_id: string;
  revision: number;
}

const changedIn = (rows: 'device_state' | 'desired_states'): string =>
  `SELECT d.device_id, c.revision FROM devices d
   JOIN (SELECT device_id, revision, xmin AS written_by FROM ${rows}) c ON c.device_id = d.device_id
   ${CHANGED} ORDER BY c.revision`;

const changedOf = ({ device_id, revision }: ChangedRow) => ({ deviceId: device_id, revision });

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
