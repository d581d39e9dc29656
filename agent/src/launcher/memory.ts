import type { BootRecord } from '../ports-firmware.ts';
import type { Choice } from '../slots/choose.ts';

/** What the launcher remembers from one start to the next. What must outlive it is in its notes. */
export interface Memory {
  readonly run: BootRecord['committed'];
  /** What is run next counts as chosen anew, also when it is the same. */
  readonly isAnew: boolean;
  /** Since it was chosen. */
  readonly restarts: number;
  /** Ends in a row that came too soon. */
  readonly quickEnds: number;
  /** How long a trial has run, over all of its starts. */
  readonly trial: { readonly id: number; readonly ranMs: number } | null;
  /** A trial that is over, whether or not that could be written down. */
  readonly refused: number | null;
}

export const NO_MEMORY: Memory = { run: null, isAnew: true, restarts: 0, quickEnds: 0, trial: null, refused: null };

/** Why a program runs no more. */
export type Ending = 'ended' | 'asked' | 'time-up';

/** A program that ran for so long has earned a quick restart. */
const WELL_MS = 60_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;

/** At a start: is it the same again? */
export function begun(memory: Memory, { run, trial }: Pick<Choice, 'run' | 'trial'>): Memory {
  const isAgain = !memory.isAnew && memory.run?.slot === run?.slot && memory.run?.sha256 === run?.sha256;
  return {
    ...memory,
    run,
    isAnew: false,
    restarts: isAgain ? memory.restarts + 1 : 0,
    quickEnds: isAgain ? memory.quickEnds : 0,
    trial: trial === null ? null : { id: trial.id, ranMs: memory.trial?.id === trial.id ? memory.trial.ranMs : 0 },
  };
}

/** What is left of the time of the trial that has begun. */
export const trialLeftMs = ({ trial }: Memory, withinMs: number): number => Math.max(0, withinMs - (trial?.ranMs ?? 0));

/** After a program has ended, or was ended. */
export function over(memory: Memory, why: Ending, ranMs: number): Memory {
  const trial = memory.trial && { ...memory.trial, ranMs: memory.trial.ranMs + ranMs };
  if (why === 'asked') return { ...memory, trial, isAnew: true };
  if (why === 'time-up') return { ...memory, trial, isAnew: true, refused: trial?.id ?? memory.refused };
  return { ...memory, trial, quickEnds: ranMs < WELL_MS ? memory.quickEnds + 1 : 1 };
}

/** How long to wait before the next start: a program that ends at once must not take the machine with it. */
export const pauseMs = ({ isAnew, quickEnds }: Memory): number =>
  isAnew || quickEnds === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(quickEnds - 1, 16));
