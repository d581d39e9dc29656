import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { readBoot } from '@paddock/agent/slots/boot-record.ts';
import { createInstallerWork } from '@paddock/agent/slots/installer-work.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import type { TreeCalls } from '@paddock/agent/ports-firmware.ts';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { bringObjects, faultsOf, LIMITS, releaseOf, runUntil } from '../../harness/agent/slots.ts';
import {
  cutImage,
  LoggedDisk,
  makeImage,
  mounted,
  unflushed,
  type BlockWrite,
  type Cut,
} from '../../harness/block-log.ts';

/** How many cuts are tried; all of them take minutes. */
const CUTS = Number(process.env['PADDOCK_POWER_CUTS'] ?? 48);
const AS_ROOT = process.getuid?.() === 0;
const needsRoot = ({ skip }: TestContext): void => skip(!AS_ROOT, 'Only root mounts disks: run this test as root');

const text = (counter: number, file: number): string => `${counter} ${file} `.repeat(40 + file * 30);
const release = (counter: number): ReturnType<typeof releaseOf> =>
  releaseOf(counter, {
    'bin/kiosk': `kiosk ${counter}`,
    'web/same.js': 'same',
    ...Object.fromEntries(Array.from({ length: 24 }, (_, file) => [`lib/${file}.js`, text(counter, file)])),
  });
const OLD = release(1);
const NEW = release(2);
const ALL = [OLD, NEW];
const FLOOR = 'tuf-floor.json';

/** An update as agent and launcher make it. @param done hears of what a power cut may not undo any more */
async function update(directory: string, calls: TreeCalls, done: (what: keyof Marks) => void): Promise<void> {
  prepareRun(calls);
  const disk = await openDisk(join(directory, 'state'));
  await disk.replace(FLOOR, Buffer.from('{"counter":2}'));
  done('floor');
  const work = createInstallerWork(calls);
  for (const content of Object.values(NEW.files)) {
    if (content !== null) work.put(sha256Of(Buffer.from(content)), Buffer.from(content));
  }
  work.stage(NEW);
  work.activate(NEW.release.sha256, LIMITS);
  prepareRun(calls);
  work.markGood(NEW.release.sha256);
  done('good');
}

interface Marks {
  floor: number;
  good: number;
}
interface Recorded {
  readonly writes: readonly BlockWrite[];
  /** After how many writes that was done. */
  readonly marks: Marks;
}

let home: string;
let base: string;
beforeAll(async () => {
  if (!AS_ROOT) return;
  home = mkdtempSync(join(tmpdir(), 'paddock-blocks-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', home]);
  base = join(home, 'base.img');
  makeImage(base);
  await mounted(base, async (directory) => {
    const calls = createTreeCalls(directory);
    mkdirSync(join(directory, 'state'));
    await (await openDisk(join(directory, 'state'))).replace(FLOOR, Buffer.from('{"counter":1}'));
    bringObjects(calls, OLD);
    runUntil(calls, OLD);
  });
});
afterAll(() => {
  if (!AS_ROOT) return;
  execFileSync('umount', [home]);
  rmSync(home, { recursive: true });
});

/** Ways to leave a safeguard out. */
const WITHOUT = {
  nothing: () => ({}),
  'the sync of files': (calls) => ({
    create: (path, mode) => Object.assign(calls.create(path, mode), { sync: () => {} }),
  }),
  'the sync of directories': () => ({ syncDirectory: () => {} }),
  // To read afresh has the system begin to write: without that, too, nothing is sure to be on the disk.
  'the sync of everything': (calls) => ({ syncAll: () => {}, openFresh: (path) => calls.open(path) }),
} as const satisfies Record<string, (calls: TreeCalls) => Partial<TreeCalls>>;
type Left = keyof typeof WITHOUT;

async function recorded(left: Left): Promise<Recorded> {
  const disk = new LoggedDisk(home);
  const marks: Marks = { floor: 0, good: 0 };
  const writes = await disk.record(base, (directory) => {
    const calls = createTreeCalls(directory);
    return update(directory, { ...calls, ...WITHOUT[left](calls) }, (what) => void (marks[what] = disk.position));
  });
  return { writes, marks };
}

/** Boots what the cut left, and lets it go on to the goal. @returns what is wrong */
async function faultsAfter({ writes, marks }: Recorded, cut: Cut): Promise<string[]> {
  const image = join(home, 'cut.img');
  cutImage(base, writes, cut, image);
  const where = `after ${cut.after} writes${cut.lost === null ? '' : `, without ${cut.lost}`}`;
  const judge = (directory: string): string[] => {
    const calls = createTreeCalls(directory);
    const { counter } = JSON.parse(readFileSync(join(directory, 'state', FLOOR), 'utf8')) as { counter: number };
    const { run } = prepareRun(calls);
    if (run === null) return ['boots nothing'];
    const faults = faultsOf(calls, run.slot, run.sha256, ALL);
    if (counter < (cut.after >= marks.floor ? 2 : 1)) faults.push('the floor is lost');
    const runs = [readBoot(calls)?.committed?.sha256, run.sha256];
    if (cut.after >= marks.good && runs.some((sha256) => sha256 !== NEW.release.sha256))
      faults.push('what was committed is lost');
    bringObjects(calls, NEW);
    runUntil(calls, NEW);
    const { running } = new SlotDirectory(calls).status();
    return [...faults, ...faultsOf(calls, running?.slot ?? 'a', NEW.release.sha256, ALL)];
  };
  const faults = await mounted(image, judge).catch((cause: unknown) => [String(cause)]);
  return faults.map((fault) => `${where}: ${fault}`);
}

/** Cuts spread over the whole of it, every other one with a write lost that was not flushed. */
function spread({ writes }: Recorded, count: number): Cut[] {
  return Array.from({ length: count }, (_, at) => {
    const after = Math.round((at * writes.length) / Math.max(1, count - 1));
    const may = unflushed(writes, after);
    return { after, lost: at % 2 === 0 ? null : (may[(at * 7) % Math.max(1, may.length)] ?? null) };
  });
}

describe('slots on ext4 after a power cut at any write of a block', () => {
  it('boot a whole release, keep the floor, and get to the goal', async (context) => {
    needsRoot(context);
    const update = await recorded('nothing');
    expect(update.writes.length).toBeGreaterThan(60);
    const faults: string[] = [];
    for (const cut of spread(update, CUTS)) faults.push(...(await faultsAfter(update, cut)));
    expect(faults).toEqual([]);
  });

  it.for(['the sync of files', 'the sync of directories', 'the sync of everything'] as const)(
    'would not without %s',
    async (left, context) => {
      needsRoot(context);
      const update = await recorded(left);
      // Where it is done, and the disk has not heard of all of it.
      const cuts = [0, 1, 2, 3].map((later): Cut => ({ after: update.marks.good + later, lost: null }));
      const faults: string[] = [];
      for (const cut of cuts) faults.push(...(await faultsAfter(update, cut)));
      expect(faults).not.toEqual([]);
    },
  );
});
