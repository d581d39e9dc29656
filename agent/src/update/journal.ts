import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { DesiredError } from '@paddock/shared/desired.ts';
import { Release, UPDATE_STATES, type UpdateState } from '@paddock/shared/firmware.ts';
import { BUNDLE_NAME_PATTERN, BundleName, ReleaseCounter, Sha256 } from '@paddock/shared/manifest.ts';
import { Count } from '@paddock/shared/message.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import type { Disk } from '../ports.ts';

export const JOURNAL_FILE = 'update.json';
/** As many digests as are remembered: the oldest is forgotten first. */
const MOST_QUARANTINED = 32;

/** What becomes of the slot before, while nobody knows whether the cloud can be reached under the one that runs. */
const WATCH_PHASES = ['new', 'old', 'asking', 'kept', 'back'] as const;

/**
 * Open: what a newer agent adds is kept, so that one that comes back finds it. What changes the meaning of what is here
 * changes `v`, and an agent that does not know it begins anew.
 */
const Shape = Type.Object({
  v: Type.Literal(1),
  state: Type.Enum(Object.keys(UPDATE_STATES) as UpdateState[]),
  /** Where it goes to, went to last, or could not get to. */
  target: Type.Union([Type.Null(), Release]),
  error: Type.Union([Type.Null(), DesiredError]),
  /** In a row, since the last thing that came right. */
  failures: Count,
  /** The greatest release that was ever committed, by name. Invariant: counters only grow. */
  floors: Type.Record(
    Type.String({ pattern: BUNDLE_NAME_PATTERN }),
    Type.Object({ counter: ReleaseCounter, sha256: Sha256 }),
  ),
  /** Newest first. Nothing of it is ever installed again. */
  quarantined: Type.Array(Type.Object({ sha256: Sha256, code: Type.String() })),
  /** How many sensors were good before the switch. */
  goodSensors: Count,
  /** The trial was found good: it only has to be marked. */
  isHealthy: Type.Boolean(),
  /** What runs is damaged: everything is fetched, and nothing is made from it. */
  isWhole: Type.Boolean(),
  /** Set from a commit until the cloud is reached. */
  watch: Type.Union([
    Type.Null(),
    Type.Object({
      release: Release,
      /** The digest of what ran before, in the other slot. */
      before: Sha256,
      phase: Type.Enum([...WATCH_PHASES]),
      /** Of waiting in this phase. */
      ms: Count,
    }),
  ]),
});

/** What the agent knows of its updates; always as it is on the disk. */
export type Journal = Static<typeof Shape>;

export const NO_JOURNAL: Journal = {
  v: 1,
  state: 'idle',
  target: null,
  error: null,
  failures: 0,
  floors: {},
  quarantined: [],
  goodSensors: 0,
  isHealthy: false,
  isWhole: false,
  watch: null,
};

/** What holds for ever, whatever else a journal says. */
const Lasting = Type.Partial(Type.Pick(Shape, ['floors', 'quarantined']));

/** What a journal was like when it was found. */
export type JournalFound = 'whole' | 'missing' | 'damaged' | 'foreign';

/**
 * Of one that is damaged, slots and metadata say what is known. One that another agent wrote, and that this one does not
 * understand, begins anew as well, but for its floors and its quarantine.
 */
export async function readJournal(
  disk: Pick<Disk, 'read'>,
): Promise<{ readonly journal: Journal; readonly found: JournalFound }> {
  const bytes = await disk.read(JOURNAL_FILE);
  if (bytes === null) return { journal: NO_JOURNAL, found: 'missing' };
  const [line = '', check = ''] = new TextDecoder().decode(bytes).split('\n');
  if (line === '' || check !== (await checkOf(line))) return { journal: NO_JOURNAL, found: 'damaged' };
  const value: unknown = JSON.parse(line);
  if (Check(Shape, value)) return { journal: value, found: 'whole' };
  return { journal: { ...NO_JOURNAL, ...lastingOf(value) }, found: 'foreign' };
}

function lastingOf(value: unknown): Partial<Journal> {
  if (!Check(Lasting, value)) return {};
  const { floors = {}, quarantined = [] } = value;
  const named = Object.entries(floors).filter(([name]) => Check(BundleName, name));
  return { floors: Object.fromEntries(named), quarantined };
}

export async function writeJournal(disk: Pick<Disk, 'replace'>, journal: Journal): Promise<void> {
  const line = JSON.stringify(journal);
  await disk.replace(JOURNAL_FILE, new TextEncoder().encode(`${line}\n${await checkOf(line)}\n`));
}

/** Tells damage, not forgery: the file is the device's own. */
const checkOf = async (line: string): Promise<string> => (await sha256Base64url(`paddock-update ${line}`)).slice(0, 22);

export const isQuarantined = ({ quarantined }: Journal, digest: string): boolean =>
  quarantined.some(({ sha256 }) => sha256 === digest);

export function withQuarantine(journal: Journal, { sha256 }: Pick<Release, 'sha256'>, code: string): Journal {
  const others = journal.quarantined.filter((one) => one.sha256 !== sha256);
  return { ...journal, quarantined: [{ sha256, code }, ...others].slice(0, MOST_QUARANTINED) };
}

/** Whether it may be installed: two releases never have one counter, and none goes back behind what was committed. */
export function isBelowFloor({ floors }: Journal, { name, counter, sha256 }: Release): boolean {
  const floor = Object.hasOwn(floors, name) ? floors[name] : undefined;
  return floor !== undefined && (counter < floor.counter || (counter === floor.counter && sha256 !== floor.sha256));
}

/** @returns the same journal when nothing is to be raised */
export function withFloor(journal: Journal, { name, counter, sha256 }: Release): Journal {
  const floor = Object.hasOwn(journal.floors, name) ? journal.floors[name] : undefined;
  if (floor !== undefined && floor.counter >= counter) return journal;
  return { ...journal, floors: { ...journal.floors, [name]: { counter, sha256 } } };
}
