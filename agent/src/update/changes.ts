import type { Facts } from './facts.ts';

/** Whether what runs may be changed now: nobody uses the kiosk, and its window is open. */
export const mayChange = ({ isWindowOpen, isLocked }: Facts): boolean => isWindowOpen && !isLocked;

/**
 * Whether the launcher runs what the record says. One that does not answer chooses anew at its next start, and one that
 * has nothing committed runs what it finds.
 */
export const runsWhatItShould = ({ launcher, slots: { running } }: Facts): boolean =>
  launcher === null || running === null || launcher.sha256 === running.release.sha256;
