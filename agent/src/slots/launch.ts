import { SLOTS } from '@paddock/shared/firmware.ts';
import type { BootRecord, LauncherNotes, TreeCalls } from '../ports-firmware.ts';
import { believedBoot, readBoot, readNotes, writeNotes } from './boot-record.ts';
import { choose, givenUp, NO_NOTES, type Choice } from './choose.ts';
import { wholeSlots } from './whole.ts';

/**
 * What is to be run now. When this returns the start is counted on the disk, so that a power cut in the next instant
 * has been counted too. What is not whole is never run.
 */
export function prepareRun(calls: TreeCalls): Pick<Choice, 'run' | 'trial'> {
  const notes = readNotes(calls);
  const whole = wholeSlots(calls);
  const isWhole = (content: BootRecord['committed']): boolean =>
    content !== null && whole[content.slot] === content.sha256;
  const chosen = choose(believedBoot(readBoot(calls), notes, whole), notes);
  // A trial that lies in pieces is over; its starts are used up.
  const choice =
    chosen.trial === null || isWhole(chosen.run) ? chosen : { ...chosen, run: chosen.notes.last, trial: null };
  if (!isSame(choice.notes, notes)) writeNotes(calls, choice.notes);
  if (isWhole(choice.run)) return { run: choice.run, trial: choice.trial };
  // The disk lost what was committed: better what the other slot has than nothing.
  const slot = SLOTS.find((each) => whole[each] !== null);
  const sha256 = slot && whole[slot];
  return { run: slot && sha256 ? { slot, sha256 } : null, trial: null };
}

/** The trial that runs now is over: the next start is of what was committed. */
export const giveUp = (calls: TreeCalls): void => writeNotes(calls, givenUp(readNotes(calls) ?? NO_NOTES));

const isSame = (a: LauncherNotes, b: LauncherNotes | null): boolean => JSON.stringify(a) === JSON.stringify(b);
