import { readBoot, readNotes } from '@paddock/agent/slots/boot-record.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { createInstallerWork } from '@paddock/agent/slots/installer-work.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { installErrorOf } from '@paddock/agent/slots/stage.ts';
import { contentOf, sha256Of } from '@paddock/agent/slots/whole.ts';
import { InstallError, type TreeCalls } from '@paddock/agent/ports-firmware.ts';
import { SLOTS } from '@paddock/shared/firmware.ts';
import { describe, expect, it } from 'vitest';
import { FaultyCalls, type Fault } from '../../harness/agent/faulty-calls.ts';
import { bringObjects, faultsOf, LIMITS, releaseOf, runUntil } from '../../harness/agent/slots.ts';
import { TreeFiles } from '../../harness/agent/tree-files.ts';

const OLD = releaseOf(1, { 'bin/kiosk': 'one', 'web/same.js': 'same', gone: 'gone', d: null });
const NEW = releaseOf(2, { 'bin/kiosk': 'two, longer', 'web/same.js': 'same', 'web/x': 'x', current: '-> bin/kiosk' });
/** In the slot that is written: what is left of it must not pass for it. */
const OTHER = releaseOf(3, { 'bin/kiosk': 'three', 'web/same.js': 'same', 'web/y': 'y' });
const ALL = [OLD, NEW, OTHER];

const EXPECTED = { ENOSPC: 'install_no_space', EIO: 'install_disk_failed' } as const;

/** A kiosk that runs the old release; the other slot holds something, so that there is something to remove. */
function kiosk(): TreeFiles {
  const files = new TreeFiles();
  for (const release of [OTHER, OLD]) {
    bringObjects(files, release);
    runUntil(files, release);
  }
  for (const name of files.list('objects')) files.remove(`objects/${name}`);
  files.syncAll();
  return files;
}
const KIOSK = kiosk();
/** One as it was, for each fault. */
const another = (): TreeFiles => KIOSK.afterCut(() => 'all');

/** All that an update does with the disk, by the agent and by the launcher, until the new release is committed. */
function update(calls: TreeCalls): void {
  prepareRun(calls);
  const work = createInstallerWork(calls);
  const [first, ...others] = Object.values(NEW.files).flatMap((text) =>
    text === null || text.startsWith('-> ') ? [] : [Buffer.from(text)],
  );
  for (const text of others) work.put(sha256Of(text), text);
  if (first) stream(work, first);
  work.list();
  work.stage(NEW);
  work.keepOnly(new Set());
  work.activate(NEW.release.sha256, LIMITS);
  prepareRun(calls);
  work.markGood(NEW.release.sha256);
  prepareRun(calls);
}

/** In parts, as a large object comes. */
function stream(work: ReturnType<typeof createInstallerWork>, text: Buffer): void {
  const sha256 = sha256Of(text);
  work.dropPart(sha256);
  work.appendPart(sha256, text.subarray(0, 3));
  work.appendPart(sha256, text.subarray(3));
  work.beginReading(sha256);
  work.beginStream(sha256);
  for (let bytes = work.readOn(sha256); bytes.length > 0; bytes = work.readOn(sha256)) work.writeStream(sha256, bytes);
  work.stopReading();
  work.endStream(sha256);
  work.dropPart(sha256);
}

/** What is wrong after a fault: while it lasts, and when it is gone. */
function* faultsWith(fault: Fault): Generator<string> {
  const files = another();
  const faulty = new FaultyCalls(files, fault);
  try {
    update(faulty.calls);
  } catch (cause) {
    const told = installErrorOf(cause);
    if (!(told instanceof InstallError)) yield `throws ${String(cause)}`;
    else if (told.code !== EXPECTED[fault.code]) yield `says ${told.code}`;
  }
  const wanted = `${fault.code} at ${faulty.failed}`;
  for (const slot of SLOTS) {
    const content = contentOf(files, slot);
    const faults = content === null ? [] : faultsOf(files, slot, content.release.sha256, ALL);
    yield* faults.map((each) => `${wanted}: it says that it is whole, and ${each}`);
  }
  // What recovers from a record that the disk lost must not have to recover from a disk that is full.
  if (readBoot(files) === null || readNotes(files) === null) yield `${wanted}: a record is damaged`;
  yield* bootFaults(faulty.calls, files).map((each) => `${wanted}, while it lasts: ${each}`);
  yield* bootFaults(files, files).map((each) => `${wanted}, when it is gone: ${each}`);
  bringObjects(files, NEW);
  runUntil(files, NEW);
  const { running } = new SlotDirectory(files).status();
  yield* faultsOf(files, running?.slot ?? 'a', NEW.release.sha256, ALL).map(
    (each) => `${wanted}, at the goal: ${each}`,
  );
}

/** @param files by which to judge: they do not fail */
function bootFaults(calls: TreeCalls, files: TreeCalls): string[] {
  const { run } = prepareRun(calls);
  if (run === null) return ['boots nothing'];
  return faultsOf(files, run.slot, run.sha256, ALL);
}

const callsOfAnUpdate = (): number => {
  const counted = new FaultyCalls(another(), null);
  update(counted.calls);
  return counted.count;
};

describe('a disk that fails at any call of an update', () => {
  it.each([
    ['once, for it is full', 'ENOSPC', 'once'],
    ['once, for it is broken', 'EIO', 'once'],
    ['for all writing, for it is full', 'ENOSPC', 'writes'],
  ] as const)('%s: says so, boots a whole slot, and gets to the goal afterwards', (_, code, howLong) => {
    const calls = callsOfAnUpdate();
    expect(calls).toBeGreaterThan(200);
    const faults = Array.from({ length: calls }, (_each, at) => [...faultsWith({ at, code, for: howLong })]).flat();
    expect(faults).toEqual([]);
  });

  it('for good, for it is gone: the launcher says so, and does not break', () => {
    const faulty = new FaultyCalls(another(), { at: 0, code: 'EIO', for: 'all' });
    expect(prepareRun(faulty.calls)).toMatchObject({ run: null, trial: null, fault: { code: 'install_disk_failed' } });
  });

  it('never starts a trial that cannot be counted', () => {
    const files = another();
    bringObjects(files, NEW);
    const work = createInstallerWork(files);
    work.stage(NEW);
    work.activate(NEW.release.sha256, LIMITS);
    const full = new FaultyCalls(files, { at: 0, code: 'ENOSPC', for: 'writes' });
    expect(prepareRun(full.calls)).toMatchObject({ run: { sha256: OLD.release.sha256 }, trial: null });
    expect(prepareRun(files)).toMatchObject({ run: { sha256: NEW.release.sha256 }, trial: { starts: LIMITS.starts } });
  });
});
