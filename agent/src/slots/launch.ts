import { SLOTS, type Slot } from '@paddock/shared/firmware.ts';
import { InstallError, type BootRecord, type LauncherNotes, type TreeCalls } from '../ports-firmware.ts';
import { believedBoot, readBoot, readNotes, writeNotes } from './boot-record.ts';
import { choose, givenUp, NO_NOTES, type Choice } from './choose.ts';
import { installErrorOf } from './stage.ts';
import { contentOf, wholeSlots } from './whole.ts';

/** What is to be run, and what the disk failed at on the way to knowing it. */
export interface Prepared extends Pick<Choice, 'run' | 'trial'> {
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
    return { run: uncountedRun(calls), trial: null, fault };
  }
}

function countedRun(calls: TreeCalls, refused: number | null): Prepared {
  const notes = readNotes(calls);
  const whole = wholeSlots(calls);
  const boot = believedBoot(readBoot(calls), notes, whole);
  const known = refused !== null && boot.trial?.id === refused ? notesGivenUp(notes, refused) : notes;
  const chosen = choose(boot, known);
  // A trial that lies in pieces is over; its starts are used up.
  const choice =
    chosen.trial === null || isWhole(chosen.run, whole) ? chosen : { ...chosen, run: chosen.notes.last, trial: null };
  if (!isSame(choice.notes, notes)) writeNotes(calls, choice.notes);
  // Nothing was ever committed: what lies in a slot is a trial that is over.
  if (choice.run === null || isWhole(choice.run, whole)) return { run: choice.run, trial: choice.trial };
  return { run: anyWhole(whole), trial: null };
}

type Whole = Readonly<Record<Slot, string | null>>;

const isWhole = (content: BootRecord['committed'], whole: Whole): boolean =>
  content !== null && whole[content.slot] === content.sha256;

/** The disk lost what was committed: better what the other slot has than nothing. */
function anyWhole(whole: Whole): BootRecord['committed'] {
  const slot = SLOTS.find((each) => whole[each] !== null);
  const sha256 = slot && whole[slot];
  return slot && sha256 ? { slot, sha256 } : null;
}

/** On a disk that fails: what was committed, as far as it can be read. */
function uncountedRun(calls: TreeCalls): BootRecord['committed'] {
  const whole = {
    a: readable(() => contentOf(calls, 'a'))?.release.sha256 ?? null,
    b: readable(() => contentOf(calls, 'b'))?.release.sha256 ?? null,
  };
  const boot = readable(() => readBoot(calls));
  const notes = readable(() => readNotes(calls));
  const { committed } = believedBoot(boot, notes, whole);
  return isWhole(committed, whole) ? committed : anyWhole(whole);
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
