import type { InstallerStatus } from '../ports-firmware.ts';
import { mayChange, runsWhatItShould, toWhatItShould } from './changes.ts';
import type { Decision, Facts } from './facts.ts';
import type { Journal } from './journal.ts';
import { LOOK_EVERY_MS, note, rest, rollingBack, todo, trouble } from './steps.ts';

type Trial = NonNullable<InstallerStatus['trial']>;

/** What desired state says meanwhile counts again when the trial has come to its end. */
export function duringTrial(journal: Journal, facts: Facts, trial: Trial): Decision<Journal> {
  const { state, target } = journal;
  if (state === 'rolling-back') return facts.isPaused ? rest(LOOK_EVERY_MS) : todo('roll back');
  const isOurs = target?.sha256 === trial.release.sha256 && ['armed', 'switched', 'trial'].includes(state);
  // A journal that was lost: nobody knows what was agreed on, so nobody answers for it.
  if (!isOurs) return note(rollingBack(journal, { code: 'update_trial_unknown' }, false));
  // One that was found good and only could not be marked in time is not to blame.
  if (trial.givenUp) return note(rollingBack(journal, { code: 'update_given_up' }, !journal.isHealthy));
  if (trial.starts === 0) return unstarted(journal, facts);
  if (state === 'armed') return note({ ...journal, state: 'switched' });
  if (facts.isPaused) return rest(LOOK_EVERY_MS);
  if (state === 'switched') return todo('after');
  return todo(journal.isHealthy ? 'mark good' : 'judge');
}

/** The launcher was told and has not begun: it can still be taken back, before a program that ends begins it. */
function unstarted(journal: Journal, facts: Facts): Decision<Journal> {
  const { desired, launcher, isPaused } = facts;
  // The agent has just started: in a moment it knows what is desired, and in which window.
  if (desired === undefined) return rest(LOOK_EVERY_MS);
  if (desired?.sha256 !== journal.target?.sha256 || !mayChange(facts)) return note(rollingBack(journal, null, false));
  // No launcher answers: it begins with the trial when it is back.
  return isPaused || launcher === null ? rest(LOOK_EVERY_MS) : todo('restart');
}

/** There is no trial, and the journal may not know yet. Null: nothing of this is left to be done. */
export function afterTrial(journal: Journal, facts: Facts): Decision<Journal> | null {
  const { state, target } = journal;
  const { running } = facts.slots;
  if (state === 'rolling-back') return rolledBack(journal, facts);
  if (state !== 'armed' && state !== 'switched' && state !== 'trial') return null;
  if (target !== null && running?.committed === true && running.release.sha256 === target.sha256)
    return note(committed(journal, facts));
  if (state === 'armed') return null;
  return trouble({ ...journal, state: 'rolled-back', error: { code: 'update_trial_lost' }, isHealthy: false });
}

function committed(journal: Journal, { slots }: Facts): Journal {
  const { target } = journal;
  return {
    ...journal,
    state: 'committed',
    error: null,
    failures: 0,
    isHealthy: false,
    isWhole: false,
    // Without something to go back to there is nothing to try.
    watch:
      target === null || slots.other === null
        ? null
        : { release: target, before: slots.other.sha256, phase: 'new', ms: 0 },
  };
}

/** The record says so; the launcher has to run it as well. */
function rolledBack(journal: Journal, facts: Facts): Decision<Journal> {
  if (!runsWhatItShould(facts)) return toWhatItShould(facts);
  if (journal.error === null) return note({ ...journal, state: 'idle', target: null, failures: 0 });
  return trouble({ ...journal, state: 'rolled-back', failures: 0 });
}
