import type { Slot } from '@paddock/shared/firmware.ts';
import type { TreeCalls } from '../ports-firmware.ts';
import { BOOT_FILE, believedBoot, NOTES_FILE, readBoot, readNotes } from '../slots/boot-record.ts';
import { readWhole } from '../slots/record-file.ts';
import { standing } from '../slots/standing.ts';
import { wholeSlots } from '../slots/whole.ts';

/** Where a release has an agent of its own, in its slot. */
export const AGENT_IN_SLOT = 'paddock-agent/paddock-agent.cjs';

/** The release that the launcher runs. */
export interface RunningRelease {
  readonly slot: Slot;
  readonly sha256: string;
  readonly onTrial: boolean;
}

/** The agent of that release. */
export type SlotAgent = RunningRelease;

/**
 * By what launcher and agent have written down, and counting nothing. A trial that the launcher has not begun yet is
 * none: the agent that armed it is the one to have it begun.
 * @returns null where nothing runs
 * @throws errors of the disk
 */
export function releaseThatRuns(calls: TreeCalls): RunningRelease | null {
  const notes = readNotes(calls);
  const whole = wholeSlots(calls);
  const { trial, committed } = believedBoot(readBoot(calls), notes, whole);
  const isTried = trial !== null && notes?.trial === trial.id && notes.starts > 0 && !notes.givenUp;
  const onTrial = isTried && whole[trial.slot] === trial.sha256;
  const runs = onTrial ? trial : standing(committed, (slot) => whole[slot]);
  return runs && { slot: runs.slot, sha256: runs.sha256, onTrial };
}

/** @returns null where that release has no agent, or nothing runs @throws errors of the disk */
export function agentThatRuns(calls: TreeCalls): SlotAgent | null {
  const runs = releaseThatRuns(calls);
  return runs !== null && calls.look(`${runs.slot}/${AGENT_IN_SLOT}`)?.kind === 'file' ? runs : null;
}

/** Changes whenever the answer may: far less is read than for the answer itself. @throws errors of the disk */
export const recordsOf = (calls: TreeCalls): string =>
  [BOOT_FILE, NOTES_FILE].map((file) => readWhole(calls, file, MOST_BYTES)?.toString('latin1') ?? '').join('\n\n');

const MOST_BYTES = 4096;
