import { SLOTS, type Slot } from '@paddock/shared/firmware.ts';
import { Sha256 } from '@paddock/shared/manifest.ts';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import type { BootRecord, LauncherNotes, TreeCalls } from '../ports-firmware.ts';
import { readRecord, writeRecord } from './record-file.ts';

/** What is to be run: the agent's file. */
export const BOOT_FILE = 'boot.json';
/** What became of trials: the launcher's file. */
export const NOTES_FILE = 'launcher.json';

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Content = { slot: Type.Enum([...SLOTS]), sha256: Sha256 };
const Boot = Compile(
  Type.Object({
    committed: Type.Union([Type.Null(), Type.Object(Content)]),
    trial: Type.Union([Type.Null(), Type.Object({ ...Content, id: Count, starts: Count, withinMs: Count })]),
  }),
);
const Notes = Compile(
  Type.Object({
    trial: Count,
    starts: Count,
    givenUp: Type.Boolean(),
    last: Type.Union([Type.Null(), Type.Object(Content)]),
  }),
);

/** @returns null when there is none, or it is damaged */
export function readBoot(calls: TreeCalls): BootRecord | null {
  const record = readRecord(calls, BOOT_FILE);
  return Boot.Check(record) ? record : null;
}
export const writeBoot = (calls: TreeCalls, record: BootRecord): void => writeRecord(calls, BOOT_FILE, record);

/** @returns null when there are none, or they are damaged */
export function readNotes(calls: TreeCalls): LauncherNotes | null {
  const record = readRecord(calls, NOTES_FILE);
  return Notes.Check(record) ? record : null;
}
export const writeNotes = (calls: TreeCalls, notes: LauncherNotes): void => writeRecord(calls, NOTES_FILE, notes);

/**
 * What is to be run as far as it can be known. A record that a power cut tore does not exist; one that the disk lost
 * costs the trial, not what was committed: the launcher knows what it ran, and a slot says what it holds.
 * @param whole the digests of what each slot holds whole
 */
export function believedBoot(
  record: BootRecord | null,
  notes: LauncherNotes | null,
  whole: Readonly<Record<Slot, string | null>>,
): BootRecord {
  if (record !== null) return record;
  const last = notes?.last ?? null;
  if (last !== null && whole[last.slot] === last.sha256) return { committed: last, trial: null };
  for (const slot of SLOTS) {
    const sha256 = whole[slot];
    if (sha256 !== null) return { committed: { slot, sha256 }, trial: null };
  }
  return { committed: null, trial: null };
}
