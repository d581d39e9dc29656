import { actAs, type Actor, type Scope } from '../customers/scope.ts';
import { readRelease } from '../firmware/releases.ts';
import type { Sql } from '../ports.ts';
import { RolloutError } from './errors.ts';
import { takeBack } from './hand-out.ts';
import { assignmentAt, handedDevices, lockRollouts, writeState, type AssignmentRow } from './records.ts';
import type { AssignmentState } from './states.ts';

/** What people do with an assignment, and in which states it changes something. */
const VERBS = {
  pause: { from: ['active'], to: 'paused' },
  resume: { from: ['paused', 'halted'], to: 'active' },
  cancel: { from: ['active', 'paused', 'halted'], to: 'cancelled' },
} as const satisfies Record<string, { from: readonly AssignmentState[]; to: AssignmentState }>;
export type Verb = keyof typeof VERBS;
export const STEERING_VERBS = Object.keys(VERBS) as readonly Verb[];

/**
 * Pauses, resumes or cancels. From its commit on nothing is handed out, or is again. Whoever asks for what is so already
 * changes nothing. In a transaction.
 * @throws RolloutError `assignment_unknown`, `assignment_ended`, `release_withdrawn`
 */
export async function steer(sql: Sql, scope: Scope, actor: Actor, assignmentId: number, verb: Verb): Promise<void> {
  await lockRollouts(sql);
  const assignment = await assignmentAt(sql, assignmentId, scope.customerId);
  if (assignment === null) throw new RolloutError('assignment_unknown', String(assignmentId));
  const { from, to } = VERBS[verb];
  if (!(from as readonly AssignmentState[]).includes(assignment.state)) return refuseEnded(assignment, to);
  if (verb === 'resume') await requireRelease(sql, assignment);
  else await stop(sql, assignment, verb);
  await actAs(sql, actor);
  await writeState(sql, assignmentId, to);
}

/** A halted one does not hand out either: pausing it changes nothing. */
function refuseEnded({ assignment_id, state }: AssignmentRow, to: AssignmentState): void {
  const isEnded = state === 'completed' || (state === 'cancelled' && to !== 'cancelled');
  if (isEnded) throw new RolloutError('assignment_ended', String(assignment_id));
}

async function requireRelease(sql: Sql, { name, counter }: AssignmentRow): Promise<void> {
  const release = await readRelease(sql, name, counter);
  if (release === null || release.withdrawn) throw new RolloutError('release_withdrawn', `${name} ${counter}`);
}

const CANCEL_WAITING = `
  UPDATE assignment_devices SET state = 'cancelled', since = clock_timestamp(), told_at = clock_timestamp(), revision = nextval('state_revision')
  WHERE assignment_id = $1 AND state = 'waiting'`;

async function stop(sql: Sql, assignment: AssignmentRow, verb: 'pause' | 'cancel'): Promise<void> {
  const handed = await handedDevices(sql, assignment.assignment_id);
  await takeBack(sql, assignment, handed, verb === 'cancel' ? 'cancelled' : 'waiting');
  if (verb === 'cancel') await sql.query(CANCEL_WAITING, [assignment.assignment_id]);
}
