import type { DesiredError } from '@paddock/shared/desired.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Launcher, LauncherStatus, TrialLimits } from '../ports-firmware.ts';
import type { Clock } from '../ports.ts';
import { runOf, type CommandParts } from './commands.ts';
import { beginJudging, faultOf, judge, type Criteria, type Observation } from './health.ts';

const JUDGE_EVERY_MS = 1_000;
/** A power cut or a crash may cost a start, and none of them is the release's fault. */
const TRIAL_STARTS = 3;
/** A probe that has begun in time is waited for, and so is the last one while all is settling. */
const PROBES_AT_MOST = 2;
/** What the agent may need besides: its own restart, its sensors, and a machine that boots slowly. */
const TRIAL_SPARE_MS = 5 * 60_000;

/** The sensors of the kiosk, as a release on trial is judged by them. */
export interface UpdateSensors {
  /** How many are good now. */
  good(): number;
  /** The same when each has told something, or has had its time for that since the agent started. */
  settled(signal: AbortSignal): Promise<number>;
}

export interface TrialParts extends CommandParts {
  readonly clock: Clock;
  readonly launcher: Launcher;
  readonly sensors: UpdateSensors;
  /** Why the kiosk's own software is not well by what it said since then; null: it is. */
  readonly applicationFault?: (since: UptimeMs) => string | null;
}

/** When the launcher goes back by itself. */
export const limitsOf = ({ health, hooks }: Manifest): TrialLimits => ({
  starts: TRIAL_STARTS,
  withinMs: (judgedWithin(health) + (hooks?.after?.timeoutSeconds ?? 0)) * 1000 + TRIAL_SPARE_MS,
});

const judgedWithin = ({ withinSeconds, settleSeconds, probe }: Manifest['health']): number =>
  withinSeconds + settleSeconds + PROBES_AT_MOST * (probe?.timeoutSeconds ?? 0);

/** Watches a trial to its end. @returns null when it is good, otherwise why it is not */
export async function judged(
  parts: TrialParts,
  slot: Slot,
  criteria: Criteria,
  signal: AbortSignal,
): Promise<DesiredError | null> {
  const { clock } = parts;
  let judging = beginJudging(clock.monotonic());
  for (;;) {
    const observed = await observe(parts, slot, criteria, signal);
    const next = judge(judging, observed, criteria);
    if (next.verdict === 'good') return null;
    if (next.verdict !== 'undecided') return next.verdict;
    ({ judging } = next);
    await clock.sleep(JUDGE_EVERY_MS, signal);
    signal.throwIfAborted();
  }
}

async function observe(parts: TrialParts, slot: Slot, criteria: Criteria, signal: AbortSignal): Promise<Observation> {
  const launcher = await statusOf(parts.launcher);
  const applicationFault = launcher === null ? null : (parts.applicationFault?.(launcher.startedAt) ?? null);
  const seen = { launcher, goodSensors: parts.sensors.good(), applicationFault, probe: null };
  const { probe } = criteria.health;
  if (probe === undefined || launcher === null || faultOf(seen, launcher, criteria) !== null)
    return { ...seen, now: parts.clock.monotonic() };
  const detail = await runOf(parts, slot, probe, signal);
  return { ...seen, now: parts.clock.monotonic(), probe: { isGood: detail === null, detail: detail ?? '' } };
}

/** One that cannot be asked is as good as none. */
export const statusOf = (launcher: Launcher): Promise<LauncherStatus | null> => launcher.status().catch(() => null);
