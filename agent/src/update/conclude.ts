import type { DesiredError } from '@paddock/shared/desired.ts';
import type { UpdateState } from '@paddock/shared/firmware.ts';
import { dispositionOf, isVerdict } from './dispositions.ts';
import type { Action } from './facts.ts';
import { withFloor, type Journal } from './journal.ts';
import type { PauseKind } from './pauses.ts';
import { failed, rollingBack } from './steps.ts';

/** What became of an action: done, failed, or broken off because something else came up. */
export type Outcome =
  | { readonly kind: 'done'; readonly goodSensors?: number }
  | { readonly kind: 'broken off' }
  | { readonly kind: 'failed'; readonly error: DesiredError };

export interface Conclusion {
  readonly journal: Journal;
  /** Before anything else is done; null: go on at once. */
  readonly pause: PauseKind | null;
}

/** What comes behind an action that was done. Others change what the slots say, and the next decision sees it there. */
const NEXT: Partial<Record<Action, UpdateState>> = {
  download: 'verified',
  stage: 'staged',
  before: 'armed',
  after: 'trial',
};

/** From what became of an action to what is written down. */
export function conclude(journal: Journal, action: Action, outcome: Outcome): Conclusion {
  if (outcome.kind === 'broken off') return { journal, pause: null };
  if (outcome.kind === 'failed') return afterFailure(journal, action, outcome.error);
  // It counts until it shows: a launcher that does not get there is not told every few seconds for ever.
  if (action === 'restart') return { journal: { ...journal, failures: journal.failures + 1 }, pause: 'restart' };
  return { journal: doneWith(journal, action, outcome.goodSensors), pause: null };
}

function doneWith(journal: Journal, action: Action, goodSensors = 0): Journal {
  const state = NEXT[action];
  // Why a trial ended stays, and so does how often something failed until something came right.
  if (state === undefined && action !== 'judge') return isSteering(action) ? journal : { ...journal, error: null };
  const next: Journal = { ...journal, state: state ?? journal.state, error: null, failures: 0 };
  if (action === 'before') return { ...next, goodSensors };
  // The floor before the commit: no power cut leaves a committed release without its floor.
  if (action === 'judge' && journal.target !== null) return withFloor({ ...next, isHealthy: true }, journal.target);
  return next;
}

function afterFailure(journal: Journal, action: Action, error: DesiredError): Conclusion {
  const counted: Journal = { ...journal, failures: journal.failures + 1 };
  if (action === 'judge' || action === 'after') {
    if (isVerdict(error.code)) return { journal: rollingBack(journal, error, true), pause: null };
    // The release is not to blame. The launcher ends a trial that nobody can judge.
    return { journal: { ...counted, error }, pause: 'network' };
  }
  // It can only be tried again: to stop half way would leave what nobody wants.
  if (isSteering(action))
    return { journal: TELLS_OF_STEERING.includes(journal.state) ? { ...counted, error } : counted, pause: 'network' };
  switch (dispositionOf(error.code)) {
    case 'wait':
      return { journal: { ...journal, error }, pause: 'settling' };
    case 'again':
      return { journal: { ...counted, error }, pause: 'network' };
    case 'whole':
      if (!journal.isWhole) return { journal: { ...counted, state: 'downloading', isWhole: true }, pause: null };
      return { journal: failed(counted, error), pause: 'trouble' };
    case 'final':
    case 'later':
      return { journal: failed(counted, error), pause: 'trouble' };
  }
}

/** In others the error says why a trial ended, which stays. */
const TELLS_OF_STEERING: readonly UpdateState[] = ['armed', 'switched', 'trial'];

const isSteering = (action: Action): boolean =>
  action === 'activate' ||
  action === 'restart' ||
  action === 'mark good' ||
  action === 'roll back' ||
  action === 'try other';
