import type { Decision, Facts } from './facts.ts';
import type { Journal } from './journal.ts';
import { LOOK_EVERY_MS, rest, todo } from './steps.ts';

/** Whether what runs may be changed now: nobody uses the kiosk, and its window is open. */
export const mayChange = ({ isWindowOpen, isLocked }: Facts): boolean => isWindowOpen && !isLocked;

/** Whether the launcher runs what the record says, which may be nothing. One that does not answer may still run the other. */
export const runsWhatItShould = ({ launcher, slots: { running } }: Facts): boolean =>
  launcher !== null && launcher.sha256 === (running?.release.sha256 ?? null);

/** The launcher is told to choose anew, as soon as it hears. */
export const toWhatItShould = ({ launcher, isPaused }: Facts): Decision<Journal> =>
  launcher === null || isPaused ? rest(LOOK_EVERY_MS) : todo('restart');
