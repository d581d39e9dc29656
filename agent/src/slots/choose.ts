import type { BootRecord, LauncherNotes } from '../ports-firmware.ts';

export const NO_NOTES: LauncherNotes = { trial: 0, starts: 0, givenUp: false, last: null };

/** What the launcher runs next, and what it has to write down before it does. */
export interface Choice {
  readonly run: BootRecord['committed'];
  /** Set while what runs is on trial. */
  readonly trial: NonNullable<BootRecord['trial']> | null;
  readonly notes: LauncherNotes;
}

/**
 * Made before every start. A start of a trial is counted before it happens, so that one which takes the machine down is
 * counted too.
 */
export function choose(boot: BootRecord, before: LauncherNotes | null): Choice {
  const { committed, trial } = boot;
  const known = before ?? NO_NOTES;
  if (trial === null) return { run: committed, trial: null, notes: { ...known, last: committed } };
  const of = known.trial === trial.id ? known : { ...known, trial: trial.id, starts: 0, givenUp: false };
  if (of.givenUp || of.starts >= trial.starts)
    return { run: committed, trial: null, notes: { ...of, givenUp: true, last: committed } };
  const { slot, sha256 } = trial;
  return { run: { slot, sha256 }, trial, notes: { ...of, starts: of.starts + 1, last: committed } };
}

/** A trial ran for all its time and nobody settled it: who should have is not there. */
export const givenUp = (notes: LauncherNotes): LauncherNotes => ({ ...notes, givenUp: true });
