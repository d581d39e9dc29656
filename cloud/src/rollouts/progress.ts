import type { DesiredError } from '@paddock/shared/desired.ts';
import type { ReportedFirmware, UpdateState } from '@paddock/shared/firmware.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { DeviceState, RolloutCode } from './states.ts';

/** A version of desired state: later ones are greater, epoch first. */
export interface DesiredPosition {
  readonly epoch: number;
  readonly version: number;
}

/** The release that a device was handed, and with which desired state. */
export interface Handed extends DesiredPosition {
  readonly sha256: string;
  readonly at: WallMs;
}

/** What the newest report of a device says, in its signed words. */
export interface Heard {
  readonly firmware: ReportedFirmware | null;
  /** The desired state that it held. */
  readonly desired: DesiredPosition | null;
  /** Why it could not take the key `firmware` up. */
  readonly desiredError: DesiredError | null;
  /** When the first report that says this came; null while nothing was said of firmware. */
  readonly changedAt: WallMs | null;
  /** The last sign of life. */
  readonly heardAt: WallMs | null;
}

/** What is to be said of a device that was handed a release. */
export interface Progress {
  readonly state: Extract<DeviceState, 'updating' | 'stalled' | 'updated' | 'failed'>;
  readonly code: string | null;
  readonly detail: string | null;
  readonly step: string | null;
  readonly percent: number | null;
}

/** Here a device waits for something outside of it, for as long as that takes. */
const PATIENT: readonly string[] = ['waiting-for-window', 'waiting-for-lock'] satisfies UpdateState[];
const ENDED_BADLY: readonly string[] = ['failed', 'rolled-back'] satisfies UpdateState[];
/** From here on a device goes through with it, whatever is desired meanwhile. */
const BEGUN: readonly string[] = ['armed', 'switched', 'trial', 'committed', 'rolling-back'] satisfies UpdateState[];

/** A device is updated when its signed report shows the release running and committed: nothing else counts. */
export const hasCommitted = (firmware: ReportedFirmware | null, sha256: string): boolean =>
  firmware !== null && firmware.committed && firmware.running?.sha256 === sha256;

/** Whether what runs may already be about to change: then the release is not taken back any more. */
export const hasBegun = ({ firmware }: Pick<Heard, 'firmware'>, sha256: string): boolean =>
  firmware?.target?.sha256 === sha256 && BEGUN.includes(firmware.state);

/**
 * Judges a device that was handed a release by its newest report.
 * @param stalledAfterMs how long nothing may come of it
 */
export function judge(handed: Handed, heard: Heard, now: WallMs, stalledAfterMs: number): Progress {
  const { firmware } = heard;
  if (hasCommitted(firmware, handed.sha256)) return { ...NOTHING, state: 'updated' };
  const failure = failureOf(handed, heard);
  if (failure) return { ...NOTHING, state: 'failed', code: failure.code, detail: failure.detail ?? null };
  const way = firmware?.target?.sha256 === handed.sha256 ? firmware : null;
  const step = way && !ENDED_BADLY.includes(way.state) ? way.state : null;
  const percent = step === null ? null : (way?.progressPercent ?? null);
  const code = stallOf(handed, heard, step, now - stalledAfterMs);
  return { ...NOTHING, state: code === null ? 'updating' : 'stalled', code, step, percent };
}

/** Why a device that was updated runs something else now: in its own words, where it says that it left this release. */
export function departureOf(sha256: string, firmware: ReportedFirmware): DesiredError {
  const { target, state, error, running } = firmware;
  if (target?.sha256 === sha256 && ENDED_BADLY.includes(state)) return error ?? { code: state.replaceAll('-', '_') };
  const detail =
    running === null ? 'it runs nothing' : `it runs ${running.name} ${running.version} (${running.counter})`;
  return { code: 'release_left' satisfies RolloutCode, detail };
}

const NOTHING = { code: null, detail: null, step: null, percent: null } as const;

/** What was said before the device held this desired state says nothing of it: the same release may have failed before. */
function failureOf(handed: Handed, { firmware, desired, desiredError }: Heard): DesiredError | null {
  if (desired === null || !isReached(handed, desired)) return null;
  if (desiredError !== null) return desiredError;
  if (firmware === null) return null;
  const { target, state, error, quarantined } = firmware;
  if (target?.sha256 === handed.sha256)
    return ENDED_BADLY.includes(state) ? (error ?? { code: state.replaceAll('-', '_') }) : null;
  return quarantined?.includes(handed.sha256) ? { code: 'release_quarantined' satisfies RolloutCode } : null;
}

const isReached = (wanted: DesiredPosition, { epoch, version }: DesiredPosition): boolean =>
  epoch > wanted.epoch || (epoch === wanted.epoch && version >= wanted.version);

function stallOf({ at }: Handed, heard: Heard, step: string | null, before: WallMs | number): RolloutCode | null {
  if (Math.max(at, heard.heardAt ?? at) < before) return 'device_silent';
  if (step !== null && PATIENT.includes(step)) return null;
  return Math.max(at, heard.changedAt ?? at) < before ? 'no_progress' : null;
}
