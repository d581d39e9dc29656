import type { Position } from '../devices/changes.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';

/** What changed of assignments behind a position. */
export interface AssignmentChanges {
  readonly assignments: readonly number[];
  readonly devices: readonly { readonly assignmentId: number; readonly deviceId: string }[];
}

/** What the trigger tells: of an assignment, or of a device in it. */
export interface AssignmentNews {
  readonly assignmentId: number;
  readonly deviceId?: string;
}

/** More revisions than are given out while one transaction is under way. */
const REORDERED = 1_000_000;

// As changes of devices are found: what was written by a transaction that had not ended at the position counts, too.
const CHANGED = `(c.revision > $2 OR c.revision > $3 AND (c.xmin::text::bigint - $4) & 4294967295 < 2147483648)`;

/** Devices that only wait are no news: the assignment is. */
export async function assignmentsSince(
  sql: Sql,
  { customerId }: Scope,
  { revision, horizon }: Position,
): Promise<AssignmentChanges> {
  const values = [customerId, revision, Math.max(0, revision - REORDERED), horizon];
  const assignments = await sql.query<{ id: number }>(
    `SELECT c.assignment_id AS id FROM assignments c
     WHERE ($1::text IS NULL OR c.customer_id = $1) AND ${CHANGED} ORDER BY c.revision`,
    values,
  );
  const devices = await sql.query<{ assignmentId: number; deviceId: string }>(
    `SELECT c.assignment_id AS "assignmentId", c.device_id AS "deviceId"
     FROM assignment_devices c JOIN devices d USING (device_id)
     WHERE ($1::text IS NULL OR d.customer_id = $1) AND c.state <> 'waiting' AND ${CHANGED} ORDER BY c.revision`,
    values,
  );
  return { assignments: assignments.map(({ id }) => id), devices };
}
