import type { Slot } from '@paddock/shared/firmware.ts';
import type { BootRecord } from '../ports-firmware.ts';
import { otherSlot } from './whole.ts';

/** The digest of what a slot holds whole; null where it holds nothing, or a part. */
export type HoldsWhole = (slot: Slot) => string | null;

type Content = NonNullable<BootRecord['committed']>;

export const isWhole = (content: Content, holds: HoldsWhole): boolean => holds(content.slot) === content.sha256;

/**
 * What is run where nothing is on trial: what was committed. If the disk lost that, whatever is whole is better than
 * nothing, a release that was rolled back too: it ran, and may be what a payment is waiting for. The other slot comes
 * first, so that what is put into the lost one is tried before it is relied on.
 *
 * Invariant: agent and launcher both ask here, so that the one never writes into what the other runs.
 * @returns null when nothing was ever committed, or nothing is whole
 */
export function standing(committed: Content | null, holds: HoldsWhole): Content | null {
  if (committed === null || isWhole(committed, holds)) return committed;
  for (const slot of [otherSlot(committed.slot), committed.slot]) {
    const sha256 = holds(slot);
    if (sha256 !== null) return { slot, sha256 };
  }
  return null;
}
