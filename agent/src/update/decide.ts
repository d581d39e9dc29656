import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import type { Release, UpdateState } from '@paddock/shared/firmware.ts';
import { mayChange, runsWhatItShould } from './changes.ts';
import { duringTrial, afterTrial } from './decide-trial.ts';
import { isFinal } from './dispositions.ts';
import type { Action, Decision, Facts } from './facts.ts';
import { isBelowFloor, isQuarantined, withFloor, type Journal } from './journal.ts';
import { failed, note, rest, todo, LOOK_EVERY_MS, WATCH_EVERY_MS } from './steps.ts';
import { duringWatch } from './decide-watch.ts';

/**
 * The whole machine: what to do next, from what is on the disk and what holds now. Nothing else is remembered, so a
 * restart at any moment goes on here.
 *
 * Nothing is done while the installer cannot say how its slots stand.
 *
 * Invariants: nothing is activated unless `agreed` names it at that moment and it is the target; a digest in quarantine
 * and a counter below the floor never become a target that is fetched; what is on trial comes to its end first.
 */
export function decide(journal: Journal, facts: Facts): Decision<Journal> {
  const { running, trial, fault } = facts.slots;
  if (fault !== undefined) return rest(LOOK_EVERY_MS);
  const raised = running?.committed === true ? withFloor(journal, running.release) : journal;
  if (raised !== journal) return note(raised);
  const { watch } = journal;
  // What ran before is on trial for the cloud's sake, or about to be.
  if (watch !== null && watch.phase !== 'new') return duringWatch(journal, watch, facts) ?? rest(LOOK_EVERY_MS);
  if (trial !== null) return duringTrial(journal, facts, trial);
  return (
    afterTrial(journal, facts) ??
    backToRecord(facts) ??
    (watch && duringWatch(journal, watch, facts)) ??
    towards(journal, facts)
  );
}

/**
 * The launcher fell back by itself, or what it could not find is there again. One that does not answer keeps nothing
 * waiting: it chooses anew when it starts.
 */
function backToRecord(facts: Facts): Decision<Journal> | null {
  const { launcher, slots, isPaused } = facts;
  if (launcher === null || slots.running === null || isPaused) return null;
  return runsWhatItShould(facts) || !mayChange(facts) ? null : todo('restart');
}

/** Nothing is on trial. */
function towards(journal: Journal, facts: Facts): Decision<Journal> {
  const { desired, slots } = facts;
  if (desired === undefined) return rest(null);
  const isThere = desired !== null && slots.running?.committed === true && isSame(slots.running.release, desired);
  if (desired === null || isThere) return settled(journal);
  const target = releaseOf(desired);
  if (journal.target === null || !isSame(journal.target, target))
    return note({ ...journal, state: 'offered', target, error: null, failures: 0, isWhole: false });
  if (isQuarantined(journal, target.sha256)) return refused(journal, 'update_quarantined');
  if (isBelowFloor(journal, target)) return refused(journal, 'update_counter_old');
  return onTheWay(journal, facts, target);
}

/** It runs what it shall run, or shall run nothing. Installed is what it says until the cloud has heard of it. */
function settled(journal: Journal): Decision<Journal> {
  if (journal.state === 'committed' && journal.watch !== null) return rest(WATCH_EVERY_MS);
  if (journal.state === 'idle' && journal.target === null) return rest(journal.watch === null ? null : WATCH_EVERY_MS);
  return note({ ...journal, state: 'idle', target: null, error: null, failures: 0 });
}

/** A refusal that nothing but other desired state changes. What was rolled back says itself why. */
function refused(journal: Journal, code: 'update_quarantined' | 'update_counter_old'): Decision<Journal> {
  if (journal.state === 'rolled-back' || journal.error?.code === code) return rest(null);
  return note(failed(journal, { code }));
}

function onTheWay(journal: Journal, facts: Facts, target: Release): Decision<Journal> {
  if (journal.state === 'failed' && isFinal(journal.error?.code)) return rest(null);
  if (facts.isPaused) return rest(LOOK_EVERY_MS);
  const { agreed, slots } = facts;
  const isAgreed = agreed === target.sha256;
  const isStaged = slots.other?.sha256 === target.sha256;
  // What is not on the way yet, or not any more, begins with the question whether the release is genuine.
  const next = WAY[journal.state]?.({ ...facts, isAgreed, isStaged }) ?? 'offered';
  return typeof next === 'string' ? note({ ...journal, state: next }) : next;
}

interface WayFacts extends Facts {
  readonly isAgreed: boolean;
  /** The slot that does not run holds it whole. */
  readonly isStaged: boolean;
}

/** From each state on the way to the next one, or to what has to be done for it. */
const WAY: Partial<Record<UpdateState, (facts: WayFacts) => UpdateState | Decision<Journal>>> = {
  offered: ({ isAgreed }) => (isAgreed ? 'waiting-for-window' : todo('look')),
  'waiting-for-window': ({ isWindowOpen }) => (isWindowOpen ? 'downloading' : rest(LOOK_EVERY_MS)),
  downloading: (facts) => (facts.isWindowOpen ? agreedOr('download', facts) : 'waiting-for-window'),
  verified: () => 'staging',
  // After a restart the download says what is there: within the window, because it may have to fetch.
  staging: (facts) => (facts.isFetched ? agreedOr('stage', facts) : 'downloading'),
  staged: ({ isStaged }) => (isStaged ? 'waiting-for-lock' : 'downloading'),
  'waiting-for-lock': (facts) => {
    if (!facts.isStaged) return 'downloading';
    return mayChange(facts) ? agreedOr('before', facts) : rest(LOOK_EVERY_MS);
  },
  // Written down before the lock was looked at again: whoever takes it sees this, or is seen.
  armed: (facts) => (facts.isStaged && facts.isAgreed && mayChange(facts) ? todo('activate') : 'waiting-for-lock'),
};

const agreedOr = (action: Action, { isAgreed }: WayFacts): Decision<Journal> => todo(isAgreed ? action : 'look');

const releaseOf = ({ name, version, counter, sha256 }: DesiredFirmware): Release => ({
  name,
  version,
  counter,
  sha256,
});

const isSame = (a: Release, b: Release): boolean =>
  a.sha256 === b.sha256 && a.counter === b.counter && a.name === b.name && a.version === b.version;
