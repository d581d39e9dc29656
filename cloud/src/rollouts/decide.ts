import type { AssignmentState, RolloutCode } from './states.ts';

/** What decides over an assignment. */
export interface Standing {
  readonly state: AssignmentState;
  readonly cap: number;
  readonly haltAfter: number;
  /** Takes devices that come later, so that it is never done. */
  readonly standing: boolean;
  readonly withdrawn: boolean;
  /** How many of its devices are so now. */
  readonly waiting: number;
  readonly updating: number;
  /** Failed or stalled since it was made or resumed. */
  readonly failures: number;
}

/** A device that waits. */
export interface Candidate {
  readonly deviceId: string;
  /** Why it cannot be taken any more. */
  readonly unfit: Extract<RolloutCode, 'model_unfit' | 'device_retired'> | null;
  /** Runs the release already: its desired state is to say so, and nothing is going to happen on it. */
  readonly runs: boolean;
  readonly online: boolean;
}

/** What is to be done, in this order. */
export type Step =
  | { readonly kind: 'refuse'; readonly deviceId: string; readonly code: RolloutCode }
  | { readonly kind: 'adopt'; readonly deviceId: string }
  | { readonly kind: 'hand-out'; readonly deviceId: string }
  | { readonly kind: 'halt'; readonly code: Extract<RolloutCode, 'too_many_failures' | 'release_withdrawn'> }
  | { readonly kind: 'complete' };

/**
 * The next steps of an assignment. Invariants: nothing is handed out unless it is active, and never so that more than
 * `cap` devices are updating; once it halts, nothing is handed out.
 */
export function decide(assignment: Standing, candidates: readonly Candidate[]): Step[] {
  const { state, cap, haltAfter, standing, withdrawn, waiting, updating, failures } = assignment;
  if (state !== 'active') return [];
  if (!standing && waiting === 0 && updating === 0) return [{ kind: 'complete' }];
  if (withdrawn) return [{ kind: 'halt', code: 'release_withdrawn' }];
  if (failures >= haltAfter) return [{ kind: 'halt', code: 'too_many_failures' }];
  let places = cap - updating;
  const steps = candidates.flatMap(({ deviceId, unfit, runs, online }): Step[] => {
    if (unfit !== null) return [{ kind: 'refuse', deviceId, code: unfit }];
    if (runs) return [{ kind: 'adopt', deviceId }];
    if (!online || places <= 0) return [];
    places -= 1;
    return [{ kind: 'hand-out', deviceId }];
  });
  const begins = steps.some(({ kind }) => kind === 'hand-out');
  const isDone = !standing && !begins && updating === 0 && steps.length === waiting;
  return isDone ? [...steps, { kind: 'complete' }] : steps;
}
