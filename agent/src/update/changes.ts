import type { Facts } from './facts.ts';

/** Whether what runs may be changed now: nobody uses the kiosk, and its window is open. */
export const mayChange = ({ isWindowOpen, isLocked }: Facts): boolean => isWindowOpen && !isLocked;

/** Whether the launcher runs what the record says, which may be nothing. One that does not answer chooses anew at its next start. */
export const runsWhatItShould = ({ launcher, slots: { running } }: Facts): boolean =>
  launcher === null || launcher.sha256 === (running?.release.sha256 ?? null);
