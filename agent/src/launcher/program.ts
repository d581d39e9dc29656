import { MAX_MANIFEST_BYTES, parseManifest } from '@paddock/shared/manifest.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { TreeCalls } from '../ports-firmware.ts';
import { slotEnvironment, type SlotPlace } from '../slots/environment.ts';
import { readWhole } from '../slots/record-file.ts';
import { manifestOf } from '../slots/whole.ts';

/** By this one every process of a launcher is known, whatever group it has gone to. Holds the directory of the slots. */
export const MARK = 'PADDOCK_LAUNCHER';

export interface Place extends SlotPlace {
  /** Of the slots. */
  readonly directory: string;
}

/** The environment of the program of a slot. */
export const environmentOf = (
  place: Place,
  slot: Slot,
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> => ({
  ...slotEnvironment(place, own),
  PADDOCK_SLOT: slot,
  [MARK]: place.directory,
});

/**
 * What a slot runs; null for a bundle of data. What comes first is a file of the slot, or else the name of a program of
 * the machine.
 */
export function commandOf(calls: TreeCalls, slot: Slot): readonly string[] | null {
  const manifest = readWhole(calls, manifestOf(slot), MAX_MANIFEST_BYTES);
  const command = manifest && parseManifest(manifest).run?.command;
  if (!command) return null;
  const [first = '', ...rest] = command;
  return isInSlot(calls, slot, first) ? [`./${first}`, ...rest] : command;
}

const isInSlot = (calls: TreeCalls, slot: Slot, path: string): boolean =>
  !path.startsWith('/') && calls.look(`${slot}/${path}`) !== null;
