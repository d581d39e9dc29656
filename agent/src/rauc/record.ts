import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { Release, SLOTS } from '@paddock/shared/firmware.ts';
import { MAX_MANIFEST_BYTES, Sha256 } from '@paddock/shared/manifest.ts';
import { Count } from '@paddock/shared/message.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import type { Disk } from '../ports.ts';

export const RAUC_FILE = 'rauc.json';

/** What became of what lies in a slot. */
const STANDINGS = ['staging', 'staged', 'good', 'bad'] as const;

const Held = Type.Object({
  release: Release,
  /** As it was signed. */
  manifest: Type.String({ maxLength: MAX_MANIFEST_BYTES }),
  standing: Type.Enum([...STANDINGS]),
  /** RAUC's, behind the installation: with another one somebody else has installed there. Null while ours goes on. */
  stamp: Type.Union([Type.Null(), Type.String()]),
});
/** What was installed into a slot. */
export type Held = Static<typeof Held>;

const SlotName = Type.Enum([...SLOTS]);
const Shape = Type.Object({
  v: Type.Literal(1),
  slots: Type.Object({ a: Type.Union([Type.Null(), Held]), b: Type.Union([Type.Null(), Held]) }),
  committed: Type.Union([Type.Null(), Type.Object({ slot: SlotName, sha256: Sha256 })]),
  trial: Type.Union([
    Type.Null(),
    Type.Object({
      slot: SlotName,
      sha256: Sha256,
      /** In which it was armed: it begins with the next one. */
      bootId: Type.String(),
      withinMs: Count,
      /** It ran before: what is tried is whether it does better, and it is not to blame. */
      isBack: Type.Boolean(),
    }),
  ]),
  /** What was given up while it ran, and in which boot: the next one must not run it. */
  left: Type.Union([Type.Null(), Type.Object({ slot: SlotName, bootId: Type.String() })]),
});
/** What is known of RAUC's slots beside what RAUC knows; always as it is on the disk. */
export type RaucRecord = Static<typeof Shape>;

export const NO_RECORD: RaucRecord = {
  v: 1,
  slots: { a: null, b: null },
  committed: null,
  trial: null,
  left: null,
};

/** One that is damaged is none: what runs is unknown then, and what is desired is installed again. */
export async function readRecord(disk: Pick<Disk, 'read'>): Promise<RaucRecord> {
  const bytes = await disk.read(RAUC_FILE);
  const [line = '', check = ''] = new TextDecoder().decode(bytes ?? new Uint8Array()).split('\n');
  if (line === '' || check !== (await checkOf(line))) return NO_RECORD;
  const value: unknown = JSON.parse(line);
  return Check(Shape, value) ? value : NO_RECORD;
}

export async function writeRecord(disk: Pick<Disk, 'replace'>, record: RaucRecord): Promise<void> {
  const line = JSON.stringify(record);
  await disk.replace(RAUC_FILE, new TextEncoder().encode(`${line}\n${await checkOf(line)}\n`));
}

/** Tells damage, not forgery: the file is the device's own. */
const checkOf = async (line: string): Promise<string> => (await sha256Base64url(`paddock-rauc ${line}`)).slice(0, 22);
