import type { DesiredError } from '@paddock/shared/desired.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { LauncherStatus } from '../ports-firmware.ts';

/** By what a trial is judged, at one moment. */
export interface Observation {
  readonly now: UptimeMs;
  readonly launcher: LauncherStatus | null;
  readonly goodSensors: number;
  /** What the kiosk's own software says since the launcher started it; null or absent: it is well, or nobody asked. */
  readonly applicationFault?: string | null;
  /** Null: it is not asked. */
  readonly probe: { readonly isGood: boolean; readonly detail: string } | null;
}

export interface Criteria {
  readonly sha256: string;
  readonly health: Manifest['health'];
  /** Whether the launcher runs a program of it at all. */
  readonly runs: boolean;
  /** As many as were good before. */
  readonly goodSensors: number;
}

/** What is known of a trial so far. */
export interface Judging {
  /** The later of the start of the program and of judging: an agent that was away is given the time again. */
  readonly since: UptimeMs;
  /** All is well since then; null while it is not. */
  readonly wellSince: UptimeMs | null;
}

export type Verdict = 'undecided' | 'good' | DesiredError;

export const beginJudging = (since: UptimeMs): Judging => ({ since, wellSince: null });

/**
 * All of it must begin to hold within the time of the manifest and go on without a break while it settles. A launcher
 * that does not answer leaves everything open: it gives the trial up by itself.
 */
export function judge(
  before: Judging,
  observed: Observation,
  criteria: Criteria,
): { readonly judging: Judging; readonly verdict: Verdict } {
  const { launcher, now } = observed;
  if (launcher === null) return { judging: { ...before, wellSince: null }, verdict: 'undecided' };
  const judging = launcher.startedAt > before.since ? beginJudging(launcher.startedAt) : before;
  if (launcher.sha256 === criteria.sha256 && launcher.restarts > 0)
    return { judging, verdict: { code: 'update_process_down', detail: `it ended ${launcher.restarts} times` } };
  const fault = faultOf(observed, launcher, criteria);
  const { withinSeconds, settleSeconds } = criteria.health;
  const isLate = now - judging.since > withinSeconds * 1000;
  if (fault !== null) return { judging: { ...judging, wellSince: null }, verdict: isLate ? fault : 'undecided' };
  const wellSince = judging.wellSince ?? now;
  const isGood = now - wellSince >= settleSeconds * 1000;
  return { judging: { ...judging, wellSince }, verdict: isGood ? 'good' : 'undecided' };
}

/** The cheapest first; the probe is asked when the rest is well. */
export function faultOf(
  { goodSensors, applicationFault = null, probe }: Pick<Observation, 'goodSensors' | 'applicationFault' | 'probe'>,
  { sha256, pid }: LauncherStatus,
  criteria: Criteria,
): DesiredError | null {
  if (sha256 !== criteria.sha256) return { code: 'update_process_down', detail: 'the launcher runs something else' };
  if (criteria.runs && pid === null) return { code: 'update_process_down' };
  if (criteria.health.sensors && goodSensors < criteria.goodSensors)
    return { code: 'update_sensors_bad', detail: `${goodSensors} of ${criteria.goodSensors}` };
  if (applicationFault !== null) return { code: 'update_application_bad', detail: applicationFault };
  return probe === null || probe.isGood ? null : { code: 'update_probe_failed', detail: probe.detail };
}
