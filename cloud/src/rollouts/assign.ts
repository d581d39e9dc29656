import { actAs, actorName, type Actor, type Scope } from '../customers/scope.ts';
import { checkKey } from '../desired/check.ts';
import { readRelease, type Release } from '../firmware/releases.ts';
import type { Sql } from '../ports.ts';
import { RolloutError } from './errors.ts';
import { desiredOf } from './hand-out.ts';
import { assignmentAt, lockRollouts, type AssignmentOptions, type AssignmentRow } from './records.ts';
import { take, type Targets } from './targets.ts';

/** Which release: by its counter, or by its version, of several the newest. */
export interface ReleaseName {
  readonly name: string;
  readonly counter?: number | undefined;
  readonly version?: string | undefined;
}

export interface NewAssignment {
  readonly release: ReleaseName;
  readonly targets: Targets;
  /** Takes devices that come to fit the filter later, too. */
  readonly standing: boolean;
  readonly cap: number;
  readonly haltAfter: number;
  readonly stalledAfterMs: number;
  readonly options: AssignmentOptions;
}

/** Few enough that somebody can drive to them, and long enough for a big download on a slow line. */
export const ASSIGNMENT_DEFAULTS = { cap: 10, haltAfter: 3, stalledAfterMs: 3_600_000 } as const;

const ADD = `
  INSERT INTO assignments (customer_id, name, counter, version, sha256, models, options, filter, standing, cap,
    halt_after, stalled_after_ms, state, created_by)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'active', $13)
  RETURNING assignment_id`;

/**
 * Assigns a release to devices: they get it from the next turn of the job on. In a transaction.
 * @returns the id of the assignment
 * @throws RolloutError `release_unknown`, `release_withdrawn`, `assignment_targets_invalid`, `assignment_empty`;
 *   FleetError `device_unknown`, `time_zone_invalid`, `desired_value_invalid`
 */
export async function assign(sql: Sql, scope: Scope, actor: Actor, input: NewAssignment): Promise<number> {
  const { targets, standing } = input;
  if (targets.devices !== undefined && standing) throw new RolloutError('assignment_targets_invalid');
  await lockRollouts(sql);
  const release = await publishedRelease(sql, input.release);
  await actAs(sql, actor);
  const assignment = await add(sql, scope, actor, { ...input, release });
  checkKey('firmware', desiredOf(assignment));
  await take(sql, assignment, scope, targets);
  if (!standing) await requireSome(sql, assignment);
  return assignment.assignment_id;
}

/** @throws RolloutError `release_unknown`, `release_withdrawn` */
async function publishedRelease(sql: Sql, { name, counter, version = '' }: ReleaseName): Promise<Release> {
  const which = counter ?? version;
  const release = await readRelease(sql, name, which);
  if (release === null) throw new RolloutError('release_unknown', `${name} ${which}`);
  if (release.withdrawn) throw new RolloutError('release_withdrawn', `${name} ${which}`);
  return release;
}

async function add(
  sql: Sql,
  { customerId }: Scope,
  actor: Actor,
  {
    release,
    targets,
    options,
    standing,
    cap,
    haltAfter,
    stalledAfterMs,
  }: NewAssignment & { readonly release: Release },
): Promise<AssignmentRow> {
  const { name, counter, version, sha256, models } = release;
  const filter = targets.filter === undefined ? null : JSON.stringify(targets.filter);
  const terms = [JSON.stringify(options), filter, standing, cap, haltAfter, stalledAfterMs];
  const values = [customerId, name, counter, version, sha256, models, ...terms, actorName(actor)];
  const [added] = await sql.query<{ assignment_id: number }>(ADD, values);
  const assignment = added ? await assignmentAt(sql, added.assignment_id) : null;
  if (assignment === null) throw new Error('The database did not keep the assignment');
  return assignment;
}

const TAKEN = `
  SELECT device_id, state, code FROM assignment_devices WHERE assignment_id = $1
  ORDER BY state = 'waiting' DESC, device_id LIMIT 5`;

/** @throws RolloutError `assignment_empty`, which says why for the first devices */
async function requireSome(sql: Sql, { assignment_id }: Pick<AssignmentRow, 'assignment_id'>): Promise<void> {
  const rows = await sql.query<{ device_id: string; state: string; code: string }>(TAKEN, [assignment_id]);
  if (rows[0]?.state === 'waiting') return;
  const reasons = rows.map(({ device_id, code }) => `${device_id} ${code}`).join(', ');
  throw new RolloutError('assignment_empty', reasons === '' ? 'none fits the filter' : reasons);
}
