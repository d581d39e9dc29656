import { createHash } from 'node:crypto';
import { DESIRED_FILE, parseTakenUp } from '@paddock/agent/desired/file.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import { BOOT_FILE, NOTES_FILE, readBoot, readNotes } from '@paddock/agent/slots/boot-record.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { contentOf, manifestOf } from '@paddock/agent/slots/whole.ts';
import { readJournal, type Journal } from '@paddock/agent/update/journal.ts';
import { readStore, TUF_FILES } from '@paddock/agent/tuf/store.ts';
import { SLOTS } from '@paddock/shared/firmware.ts';
import type { Story } from './cut-stories.ts';
import { BAD, RELEASES } from './cut-stories.ts';
import type { Expected } from './promised.ts';
import { faultsOf } from './slots.ts';
import type { TreeFiles } from './tree-files.ts';
import { STATE } from './update-device.ts';

const isEqual = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === b || (a !== null && b !== null && Buffer.compare(a, b) === 0);

/** What is wrong with what a power cut left, before anything goes on from there. */
export async function* faultsOfCut(left: TreeFiles, expected: Expected, story: Story): AsyncGenerator<string> {
  yield* promisesBroken(left, expected);
  yield* slotFaults(left, story);
  const disk = readerOf(left);
  const taken = await parseTakenUp(left.bytes(`${STATE}/${DESIRED_FILE}`));
  if (taken === 'damaged') yield 'desired state is damaged';
  const held = typeof taken === 'string' ? 0 : counterOf(taken.state['firmware']);
  if (held < expected.applied) yield `the floor of desired state is lost: ${held} after ${expected.applied}`;
  const { journal, found } = await readJournal(disk);
  if (found === 'damaged' || found === 'foreign') return yield `the journal is ${found}`;
  yield* journalFaults(left, journal);
  const { damaged } = await readStore(disk);
  // After a rotation its keys are gone, and it is about to be removed.
  for (const file of damaged) if (!story.isRotated || file !== TUF_FILES.timestamp) yield `${file} is damaged`;
}

function* promisesBroken(left: TreeFiles, { files, parts }: Expected): Generator<string> {
  for (const [path, allowed] of files)
    if (!allowed.some((bytes) => isEqual(left.bytes(path), bytes))) yield `${path} is not what was promised`;
  for (const [path, least] of parts) {
    const found = left.bytes(path)?.subarray(0, least.length) ?? null;
    if (!isEqual(found, least)) yield `${path} lost what had come`;
  }
}

function* slotFaults(left: TreeFiles, { before }: Story): Generator<string> {
  // What recovers from a bad disk must not have to recover from a power cut.
  if (left.look(BOOT_FILE) !== null && readBoot(left) === null) yield `${BOOT_FILE} is damaged`;
  if (left.look(NOTES_FILE) !== null && readNotes(left) === null) yield `${NOTES_FILE} is damaged`;
  for (const slot of SLOTS) {
    if (left.look(manifestOf(slot)) !== null && contentOf(left, slot) === null) yield `the mark of ${slot} is damaged`;
    const content = contentOf(left, slot);
    if (content !== null) yield* faultsOf(left, slot, content.release.sha256, RELEASES);
  }
  for (const name of left.look('objects') === null ? [] : left.list('objects')) {
    const bytes = left.bytes(`objects/${name}`) ?? new Uint8Array();
    if (!name.includes('.') && createHash('sha256').update(bytes).digest('hex') !== name) yield `${name} is not whole`;
  }
  const { run } = prepareRun(left.afterCut(() => 'all'));
  if (run === null && before.length > 0) yield 'nothing to boot';
}

function* journalFaults(left: TreeFiles, journal: Journal) {
  const boot = readBoot(left);
  const committed = RELEASES.find(({ release }) => release.sha256 === boot?.committed?.sha256)?.release;
  const floor = (committed && journal.floors[committed.name]?.counter) ?? 0;
  if (committed && floor < committed.counter) yield `${committed.version} is committed, and no floor`;
  const isOver = journal.state === 'rolled-back' && journal.target?.sha256 === BAD.release.sha256;
  if (isOver && !journal.quarantined.some(({ sha256 }) => sha256 === BAD.release.sha256))
    yield 'nothing is in quarantine';
}

const counterOf = (firmware: unknown): number =>
  typeof firmware === 'object' && firmware !== null && 'counter' in firmware ? Number(firmware.counter) : 0;

const readerOf = (files: TreeFiles): Pick<Disk, 'read'> => ({
  read: async (name, most) => files.bytes(`${STATE}/${name}`)?.subarray(0, most) ?? null,
});
