import { mayChange, runsWhatItShould, toWhatItShould } from './changes.ts';
import type { Decision, Facts } from './facts.ts';
import { withQuarantine, type Journal } from './journal.ts';
import { LOOK_EVERY_MS, note, rest, todo, WATCH_EVERY_MS } from './steps.ts';

/** The cloud may be away for a day before anybody doubts the release. */
export const UNREACHED_MS = 24 * 60 * 60_000;
/** How long what ran before has to reach it, once. */
export const OLD_TRIAL_MS = 30 * 60_000;

type Watch = NonNullable<Journal['watch']>;

/**
 * From a commit until the cloud is reached. No release is blamed for a cloud that is down: only when what ran before
 * reaches it is the new one put away.
 */
export function duringWatch(journal: Journal, watch: Watch, facts: Facts): Decision<Journal> | null {
  switch (watch.phase) {
    case 'new':
      return underNew(journal, watch, facts);
    case 'old':
      return underOld(journal, watch, facts);
    case 'asking':
      return asking(journal, watch, facts);
    case 'kept':
      return keeping(journal, watch, facts);
    case 'back':
      return goingBack(journal, facts);
  }
}

function underNew(journal: Journal, watch: Watch, facts: Facts): Decision<Journal> | null {
  const { isReached, slots, watchedMs } = facts;
  const isPast = slots.running?.release.sha256 !== watch.release.sha256 || slots.other?.sha256 !== watch.before;
  if (isReached || isPast) return note({ ...journal, watch: null });
  if (watchedMs >= UNREACHED_MS && mayChange(facts)) return turn(journal, watch, 'old');
  if (watchedMs - watch.ms >= WATCH_EVERY_MS) return note({ ...journal, watch: { ...watch, ms: watchedMs } });
  return null;
}

/** The launcher is being brought to run it. */
function underOld(journal: Journal, watch: Watch, facts: Facts): Decision<Journal> {
  const { slots, isReached, isPaused, launcher } = facts;
  const { trial } = slots;
  if (trial === null) {
    if (isReached || slots.other?.sha256 !== watch.before) return note({ ...journal, watch: null });
    return isPaused ? rest(LOOK_EVERY_MS) : todo('try other');
  }
  // Reached in the last moment, while the new one runs: that one it is.
  if (isReached || isOver(trial, watch, facts)) return turn(journal, watch, 'back');
  if (trial.starts > 0 && launcher?.sha256 === watch.before) return turn(journal, watch, 'asking');
  if (trial.starts > 0 || launcher === null || isPaused) return rest(LOOK_EVERY_MS);
  return todo('restart');
}

/** It runs, and has the same chance that the new one had. */
function asking(journal: Journal, watch: Watch, facts: Facts): Decision<Journal> {
  const { trial } = facts.slots;
  if (trial === null || isOver(trial, watch, facts)) return turn(journal, watch, 'back');
  if (!facts.isReached) return rest(LOOK_EVERY_MS);
  return turn(withQuarantine(journal, watch.release, 'update_cloud_unreached'), watch, 'kept');
}

const isOver = (trial: NonNullable<Facts['slots']['trial']>, { before }: Watch, { watchedMs }: Facts): boolean =>
  trial.givenUp || trial.release.sha256 !== before || watchedMs >= OLD_TRIAL_MS;

const turn = (journal: Journal, watch: Watch, phase: Watch['phase']): Decision<Journal> =>
  note({ ...journal, watch: { ...watch, phase, ms: 0 } });

function keeping(journal: Journal, watch: Watch, { slots, isPaused }: Facts): Decision<Journal> {
  if (slots.trial !== null) return isPaused ? rest(LOOK_EVERY_MS) : todo('mark good');
  const error = { code: 'update_cloud_unreached' };
  return note({ ...journal, state: 'rolled-back', target: watch.release, error, failures: 0, watch: null });
}

function goingBack(journal: Journal, facts: Facts): Decision<Journal> {
  if (facts.slots.trial !== null) return facts.isPaused ? rest(LOOK_EVERY_MS) : todo('roll back');
  return runsWhatItShould(facts) ? note({ ...journal, watch: null, failures: 0 }) : toWhatItShould(facts);
}
