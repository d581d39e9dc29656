import { createHash } from 'node:crypto';
import { SLOTS, type Release, type Slot } from '@paddock/shared/firmware.ts';
import { SLOT_OWN_DIRECTORY } from '@paddock/shared/bundle-path.ts';
import { MAX_INDEX_BYTES, MAX_MANIFEST_BYTES, parseManifest } from '@paddock/shared/manifest.ts';
import type { SlotContent, TreeCalls } from '../ports-firmware.ts';
import { hashOf, readWhole } from './record-file.ts';

/**
 * Written last, when everything in the slot was synced and read again, and removed first, before anything in it is
 * touched: a slot that has it is whole.
 */
export const manifestOf = (slot: Slot): string => `${slot}/${SLOT_OWN_DIRECTORY}/manifest.json`;
export const indexOf = (slot: Slot): string => `${slot}/${SLOT_OWN_DIRECTORY}/index`;

export const otherSlot = (slot: Slot | null): Slot => (slot === 'a' ? 'b' : 'a');

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The digest of what each slot holds whole; null where it holds nothing, or a part. */
export const wholeSlots = (calls: TreeCalls): Record<Slot, string | null> =>
  Object.fromEntries(SLOTS.map((slot) => [slot, releaseIn(calls, slot)?.sha256 ?? null])) as Record<
    Slot,
    string | null
  >;

/** What a slot holds whole; null where it holds nothing, or a part. Its index, which is large, is hashed and not held. */
export function releaseIn(calls: TreeCalls, slot: Slot): Release | null {
  const manifest = readWhole(calls, manifestOf(slot), MAX_MANIFEST_BYTES);
  const read = manifest && releaseOf(manifest);
  return read && hashOf(calls, indexOf(slot), MAX_INDEX_BYTES) === read.index ? read.release : null;
}

/** What a slot holds whole, as it was signed; null where it holds nothing, or a part. */
export function contentOf(calls: TreeCalls, slot: Slot): SlotContent | null {
  const manifest = readWhole(calls, manifestOf(slot), MAX_MANIFEST_BYTES);
  const index = manifest && readWhole(calls, indexOf(slot), MAX_INDEX_BYTES);
  return manifest && index && readContent(manifest, index);
}

/** @returns null when the two do not belong together */
export function readContent(manifest: Uint8Array, index: Uint8Array): SlotContent | null {
  const release = releaseOf(manifest);
  return release?.index === sha256Of(index) ? { release: release.release, manifest, index } : null;
}

function releaseOf(bytes: Uint8Array): { release: Release; index: string } | null {
  try {
    const { name, version, counter, index } = parseManifest(bytes);
    return { release: { name, version, counter, sha256: sha256Of(bytes) }, index: index.sha256 };
  } catch {
    return null;
  }
}
