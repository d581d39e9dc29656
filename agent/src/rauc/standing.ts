import type { DesiredError } from '@paddock/shared/desired.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import { INSTALL_ERRORS, type InstallerStatus } from '../ports-firmware.ts';
import { otherSlot } from '../slots/whole.ts';
import type { Pair } from './pair.ts';
import type { Held, RaucRecord } from './record.ts';

/** All that it takes to say how the slots stand. */
export interface Known {
  readonly record: RaucRecord;
  readonly pair: Pair;
  readonly bootId: string;
  readonly uptime: UptimeMs;
}

/** What lies in a slot as far as it is ours: what somebody else installed there is not. */
export function heldIn({ record, pair }: Pick<Known, 'record' | 'pair'>, slot: Slot): Held | null {
  const held = record.slots[slot];
  // RAUC may be done without our having heard of it.
  return held?.standing === 'staging' || held?.stamp === pair.slots[slot].stamp ? held : null;
}

/** It was given up in this boot, and the next one is due. */
export const isLeft = ({ record: { left }, pair, bootId }: Known): boolean =>
  left !== null && left.bootId === bootId && left.slot === pair.booted;

/** What the launcher would say of it. */
export function statusOf(known: Known): InstallerStatus {
  const { pair } = known;
  const trial = trialOf(known);
  const isTried = trial !== null && trial.slot === pair.booted && trial.starts > 0 && !trial.givenUp;
  const { running, lost } = isTried
    ? { running: { slot: trial.slot, release: trial.release, committed: false }, lost: null }
    : standingOf(known);
  const slot = otherSlot(running?.slot ?? pair.booted);
  const held = heldIn(known, slot);
  const isOfUse = held?.standing === 'staged' || held?.standing === 'good';
  return { running, trial, other: isOfUse ? held.release : null, lost, ...faultOf(known) };
}

/**
 * A trial that was armed; or what runs and was never found good, however the bootloader got there: a power cut may have
 * come between its mark and our record, or between RAUC's own mark and ours.
 */
function trialOf(known: Known): InstallerStatus['trial'] {
  const { record, pair, bootId, uptime } = known;
  const { trial } = record;
  const armed = trial && heldIn(known, trial.slot);
  if (trial && armed?.release.sha256 === trial.sha256) {
    const isBegun = trial.bootId !== bootId;
    const isOver = pair.booted !== trial.slot || uptime > trial.withinMs;
    return { slot: trial.slot, release: armed.release, starts: isBegun ? 1 : 0, givenUp: isBegun && isOver };
  }
  const held = heldIn(known, pair.booted);
  const isNew = held?.standing === 'staging' || held?.standing === 'staged';
  return isNew && !isLeft(known) ? { slot: pair.booted, release: held.release, starts: 1, givenUp: false } : null;
}

/**
 * What runs where nothing is on trial. Where the bootloader has left what was committed, something else stands in for
 * it: it is not gone back to, because the bootloader had its reason, but put into the other slot again.
 */
function standingOf(known: Known): Pick<InstallerStatus, 'running' | 'lost'> {
  const { record, pair } = known;
  const { committed } = record;
  if (committed === null) return { running: null, lost: null };
  const { slot, sha256 } = committed;
  const held = heldIn(known, slot);
  const isWhole = held?.standing === 'good' && held.release.sha256 === sha256;
  // What is given up runs until the machine starts again.
  const isNext = isLeft(known) || record.trial?.slot === pair.booted;
  if (isWhole && (slot === pair.booted || isNext))
    return { running: { slot, release: held.release, committed: true }, lost: null };
  const now = heldIn(known, pair.booted);
  const standsIn = now?.standing === 'good' ? { slot: pair.booted, release: now.release, committed: false } : null;
  return { running: standsIn, lost: sha256 };
}

/** The machine has started what it was told to leave: to start it again and again would help nobody. */
function faultOf({ record: { left }, pair, bootId }: Known): { readonly fault?: DesiredError } {
  if (left === null || left.slot !== pair.booted || left.bootId === bootId) return {};
  const detail = `${INSTALL_ERRORS.install_boot_wrong}: ${pair.slots[left.slot].name}`;
  return { fault: { code: 'install_boot_wrong', detail } };
}
