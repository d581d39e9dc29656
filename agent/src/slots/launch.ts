import { InstallError, type BootRecord, type LauncherNotes, type TreeCalls } from '../ports-firmware.ts';
import { believedBoot, readBoot, readNotes, writeNotes } from './boot-record.ts';
import { choose, givenUp, NO_NOTES, type Choice } from './choose.ts';
import { installErrorOf } from './stage.ts';
import { isWhole, standing, type HoldsWhole } from './standing.ts';
import { releaseIn, wholeSlots } from './whole.ts';

/** What is to be run, and what the disk failed at on the way to knowing it. */
export interface Prepared extends Pick<Choice, 'run' | 'trial'> {
  /** What was committed and is not whole any more: something else runs in its place, or nothing. */
  readonly lost?: NonNullable<BootRecord['committed']>;
  readonly fault?: InstallError;
}

/**
 * What is to be run now. When this returns the start is counted on the disk, so that a power cut in the next instant
 * has been counted too. What is not whole is never run, and what cannot be counted is no trial.
 * @param refused a trial that is over, whatever the disk says: writing that down may have failed
 */
export function prepareRun(calls: TreeCalls, refused: number | null = null): Prepared {
  try {
    return countedRun(calls, refused);
  } catch (cause) {
    const fault = installErrorOf(cause);
    if (!(fault instanceof InstallError)) throw cause;
    return { ...uncountedRun(calls), fault };
  }
}

function countedRun(calls: TreeCalls, refused: number | null): Prepared {
  const notes = readNotes(calls);
  const whole = wholeSlots(calls);
  const boot = believedBoot(readBoot(calls), notes, whole);
  const known = refused !== null && boot.trial?.id === refused ? notesGivenUp(notes, refused) : notes;
  const holds: HoldsWhole = (slot) => whole[slot];
  const chosen = choose(boot, known);
  if (!isSame(chosen.notes, notes)) writeNotes(calls, chosen.notes);
  // A trial that lies in pieces is over; its starts are used up.
  if (chosen.trial !== null && isWhole(chosen.trial, holds)) return { run: chosen.run, trial: chosen.trial };
  return standingRun(boot.committed, holds);
}

/** On a disk that fails: what was committed, as far as it can be read. */
function uncountedRun(calls: TreeCalls): Prepared {
  const whole = {
    a: readable(() => releaseIn(calls, 'a'))?.sha256 ?? null,
    b: readable(() => releaseIn(calls, 'b'))?.sha256 ?? null,
  };
  const boot = readable(() => readBoot(calls));
  const notes = readable(() => readNotes(calls));
  return standingRun(believedBoot(boot, notes, whole).committed, (slot) => whole[slot]);
}

function standingRun(committed: BootRecord['committed'], holds: HoldsWhole): Prepared {
  const run = standing(committed, holds);
  return { run, trial: null, ...(committed !== null && run !== committed && { lost: committed }) };
}

function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (cause) {
    if (!(installErrorOf(cause) instanceof InstallError)) throw cause;
    return null;
  }
}

/**
 * The trial that runs now is over: the next start is of what was committed.
 * @throws errors of the disk
 */
export const giveUp = (calls: TreeCalls, trial: number): void =>
  writeNotes(
    calls,
    notesGivenUp(
      readable(() => readNotes(calls)),
      trial,
    ),
  );

const notesGivenUp = (notes: LauncherNotes | null, trial: number): LauncherNotes =>
  givenUp(notes?.trial === trial ? notes : { ...NO_NOTES, trial, last: notes?.last ?? null });

/** Whether the agent has settled a trial: marked it good, or rolled it back. */
export function isSettled(calls: TreeCalls, trial: number): boolean {
  const boot = readable(() => readBoot(calls));
  return boot !== null && boot.trial?.id !== trial;
}

const isSame = (a: LauncherNotes, b: LauncherNotes | null): boolean => JSON.stringify(a) === JSON.stringify(b);
