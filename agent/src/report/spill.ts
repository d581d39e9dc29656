import type { UptimeMs } from '@paddock/shared/time.ts';

/** Nobody has answered for so long: routine reports go to the disk from now on. */
const AWAY_AFTER_MS = 5 * 60_000;
/** They go there in batches: an SD card lives by the count of writes. */
const BATCH_REPORTS = 64;
const BATCH_MS = 15 * 60_000;
/** A goodbye does not wait for an outage to be certain. */
const AWAY_AT_THE_END_MS = 30_000;

/** How the cloud has been heard, and what the disk has got since. */
export interface Absence {
  /** Since when the link has been away or a report has waited for its answer; null when the cloud answers. */
  readonly since: UptimeMs | null;
  /** When routine reports were last written in this absence. */
  readonly spilledAt: UptimeMs | null;
}

/** Whether the routine reports that only memory holds go to the disk now. @param room how many memory takes */
export function isSpillDue(absence: Absence, loose: number, room: number, now: UptimeMs): boolean {
  if (loose === 0) return false;
  // Before the oldest of them would be dropped, whatever the reason is that no answer comes.
  if (loose >= Math.ceil(room * 0.75)) return true;
  if (absence.since === null || now - absence.since < AWAY_AFTER_MS) return false;
  const { spilledAt } = absence;
  return spilledAt === null || loose >= BATCH_REPORTS || now - spilledAt >= BATCH_MS;
}

/** Whether the routine reports that are left go to the disk at the end. */
export const isAwayAtTheEnd = ({ since }: Absence, online: boolean, now: UptimeMs): boolean =>
  !online || (since !== null && now - since >= AWAY_AT_THE_END_MS);
