import type { UptimeMs } from '@paddock/shared/time.ts';
import type { SlotAgent } from './which.ts';

/** How often an agent of a release was started in this boot, one start soon after the other. */
export interface Starts {
  readonly sha256: string;
  readonly starts: number;
  readonly lastAt: UptimeMs;
  /** It ended too often: the package's own agent runs until there is another release, or another boot. */
  readonly isRefused: boolean;
}

/** Who ran for so long before it had to be started again has done what it is for. */
const WELL_MS = 10 * 60_000;
const MOST_STARTS = 5;

/**
 * Which agent is to run: that of the release, or the package's own, which no update can break. One on trial is never
 * put aside here: it is the one that has to settle its trial, and if it cannot, the launcher goes back when the trial's
 * time is over. The package's own agent would find the rest of the release well, and commit it.
 */
export function chooseAgent(
  agent: SlotAgent | null,
  before: Starts | null,
  now: UptimeMs,
): { readonly runsSlot: boolean; readonly starts: Starts | null } {
  if (agent === null) return { runsSlot: false, starts: before };
  const { sha256, onTrial } = agent;
  const known = before?.sha256 === sha256 ? before : null;
  const isSoon = known !== null && now - known.lastAt < WELL_MS;
  const starts = isSoon ? known.starts + 1 : 1;
  const isRefused = !onTrial && (known?.isRefused === true || starts > MOST_STARTS);
  return { runsSlot: !isRefused, starts: { sha256, starts, lastAt: now, isRefused } };
}

/** Whether another agent than the one that runs should. @param own the release of the one that runs; null: the package's */
export const isAnother = (agent: SlotAgent | null, own: string | null, refused: string | null): boolean =>
  (agent === null || (agent.sha256 === refused && !agent.onTrial) ? null : agent.sha256) !== own;
