import type { WallMs } from '@paddock/shared/time.ts';
import type { Presence } from '../devices/presence.ts';

/** A change of one device's presence that is about to be written. */
export interface Transition {
  readonly deviceId: string;
  readonly customerId: string;
  readonly name: string | null;
  readonly state: Presence;
  readonly previous: Presence;
  readonly heardAt: WallMs | null;
  /** Why it was silent, as far as its newest start says; null when that says nothing. */
  readonly cause?: SilenceCause | null;
}

/**
 * `connection`: the agent ran all the time, and was not heard. Otherwise it began anew: what ended the start before,
 * and why the machine was booted if it was.
 */
export interface SilenceCause {
  readonly reason: string;
  readonly machine: string | null;
  readonly detail: string | null;
}

/** How many devices stand in each state. */
export type PresenceCounts = Readonly<Partial<Record<Presence, number>>>;

export interface FleetVerdict {
  /** Most of the devices that are expected to report are silent: this says more about us than about them. */
  readonly silent: boolean;
  readonly silentCount: number;
  readonly expectedCount: number;
  /** What may be said of single devices. */
  readonly transitions: readonly Transition[];
}

/** Fewer silent devices than this are never taken for the whole fleet. */
export const FLEET_MINIMUM = 10;

/**
 * Devices stand in `late` for as long as two announced times, so those that are late together fell silent
 * together. While most are, and in the round that ends it, nobody is called lost.
 * @param counts before the transitions
 * @param wasSilent whether the alarm stands from an earlier round
 */
export function judgeFleet(counts: PresenceCounts, proposed: readonly Transition[], wasSilent: boolean): FleetVerdict {
  const silentCount = after(counts, proposed, 'late') + proposed.filter(({ state }) => state === 'lost').length;
  const expectedCount = after(counts, proposed, 'online') + silentCount;
  const silent = silentCount >= FLEET_MINIMUM && silentCount * 2 > expectedCount;
  const transitions = silent || wasSilent ? proposed.flatMap(holdLost) : proposed;
  return { silent, silentCount, expectedCount, transitions };
}

function after(counts: PresenceCounts, proposed: readonly Transition[], state: Presence): number {
  const came = proposed.filter((transition) => transition.state === state).length;
  const went = proposed.filter((transition) => transition.previous === state).length;
  return (counts[state] ?? 0) + came - went;
}

function holdLost(transition: Transition): Transition[] {
  if (transition.state !== 'lost') return [transition];
  return transition.previous === 'late' ? [] : [{ ...transition, state: 'late' }];
}
