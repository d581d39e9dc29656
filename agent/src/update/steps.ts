import type { DesiredError } from '@paddock/shared/desired.ts';
import type { Action, Decision } from './facts.ts';
import { withQuarantine, type Journal } from './journal.ts';

/** How often it is looked whether a window, a lock or a launcher has changed. */
export const LOOK_EVERY_MS = 15_000;
/** How often it is written down how long the cloud was not reached: so much may a restart forget. */
export const WATCH_EVERY_MS = 600_000;

export const note = (journal: Journal): Decision<Journal> => ({ kind: 'note', journal });
/** A trial came to nothing, and its release may not be to blame. */
export const trouble = (journal: Journal): Decision<Journal> => ({ kind: 'note', journal, isTrouble: true });
export const todo = (action: Action): Decision<Journal> => ({ kind: 'do', action });
export const rest = (ms: number | null): Decision<Journal> => ({ kind: 'rest', ms });

/** Not installed; what runs was not touched. */
export const failed = (journal: Journal, error: DesiredError): Journal => ({ ...journal, state: 'failed', error });

/** The trial ends. Its digest is in quarantine before anything is undone, so that no power cut tries it again. */
export function rollingBack(journal: Journal, error: DesiredError | null, isBad: boolean): Journal {
  const next: Journal = { ...journal, state: 'rolling-back', error, isHealthy: false };
  return isBad && journal.target !== null && error !== null ? withQuarantine(next, journal.target, error.code) : next;
}
