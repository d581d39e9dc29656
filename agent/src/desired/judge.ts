import type { Desired } from '@paddock/shared/desired.ts';
import { fromInstant } from '@paddock/shared/time.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { DesiredRefusal, DesiredWait } from './codes.ts';

/** What orders desired state: by epoch, and by version within one. */
export interface Version {
  readonly epoch: number;
  readonly version: number;
}

export interface JudgeContext {
  readonly incarnation: string;
  /** Of the newest list of keys; null for a device that was registered by hand and has none. */
  readonly epoch: number | null;
  /** What was taken up last in this incarnation; null when nothing was, or when it was lost. */
  readonly floor: Version | null;
  /** What the last answer of this start said is current; null before it. */
  readonly current: Version | null;
  readonly trusted: TrustedInterval;
}

export type Verdict =
  | { readonly kind: 'take' }
  /** It is what was taken up. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refuse'; readonly code: DesiredRefusal }
  | { readonly kind: 'wait'; readonly code: DesiredWait };

/** Negative when the first is older. */
export const compareVersions = (a: Version, b: Version): number => a.epoch - b.epoch || a.version - b.version;

/**
 * Checks 2 to 4 of the protocol's section 14, of a message that a key of the newest list verified. Invariant: nothing is
 * taken that is not newer than the floor; without a floor, nothing that is older than what a signed answer to this
 * start says is current, so that who lost its floor is not led back by an old message.
 */
export function judge(desired: Desired, { incarnation, epoch, floor, current, trusted }: JudgeContext): Verdict {
  if (desired.incarnation !== incarnation) return refuse('desired_incarnation');
  if (epoch !== null && desired.epoch < epoch) return refuse('desired_epoch_old');
  if (epoch !== null && desired.epoch > epoch) return wait('desired_waits_for_keys');
  if (floor !== null) {
    const order = compareVersions(desired, floor);
    if (order === 0) return { kind: 'known' };
    if (order < 0) return refuse('desired_version_old');
  } else {
    if (current === null) return wait('desired_waits_for_answer');
    if (compareVersions(desired, current) < 0) return refuse('desired_version_old');
  }
  if (trusted.latest === null) return wait('desired_waits_for_time');
  return trusted.latest <= fromInstant(desired.expiresAt) ? { kind: 'take' } : refuse('desired_expired');
}

const refuse = (code: DesiredRefusal): Verdict => ({ kind: 'refuse', code });
const wait = (code: DesiredWait): Verdict => ({ kind: 'wait', code });
