import { BOOT_FILE, NOTES_FILE, readBoot, readNotes } from '@paddock/agent/slots/boot-record.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { contentOf, manifestOf } from '@paddock/agent/slots/whole.ts';
import { SLOTS } from '@paddock/shared/firmware.ts';
import { describe, expect, it } from 'vitest';
import {
  bringObjects,
  faultsOf,
  LIMITS,
  releaseOf,
  runUntil,
  stepTowards,
  type TestRelease,
} from '../../harness/agent/slots.ts';
import { draws, leftAfterCut } from '../../harness/agent/tree-cuts.ts';
import { PowerCut, TreeFiles } from '../../harness/agent/tree-files.ts';

const OLD = releaseOf(1, {
  'bin/kiosk': 'one',
  'web/index.html': 'hello',
  'web/same.js': 'same',
  gone: 'gone',
  d: null,
});
const NEW = releaseOf(2, {
  'bin/kiosk': 'two, which is longer',
  'web/index.html': 'hello again',
  'web/same.js': 'same',
  'web/new/deep.txt': 'deep',
  current: '-> bin/kiosk',
});
const NEXT = releaseOf(3, { 'bin/kiosk': 'three', 'web/same.js': 'same', gone: 'gone' });
const ALL = [OLD, NEW, NEXT];

/** A kiosk that runs the last of these releases, having run the others before, with the objects of what comes next. */
function kioskWith(ran: readonly TestRelease[], next: TestRelease): TreeFiles {
  const files = new TreeFiles();
  for (const release of ran) {
    bringObjects(files, release);
    runUntil(files, release);
  }
  bringObjects(files, next);
  files.syncAll();
  return files.afterCut(() => 'all');
}

/** Boots what a cut left, and then lets it go on to the goal. @returns what is wrong */
function* faultsAfter(left: TreeFiles, allowed: readonly TestRelease[], goal: TestRelease): Generator<string> {
  try {
    // What recovers from a bad disk must not have to recover from a power cut.
    for (const [file, read] of RECORDS) if (left.look(file) !== null && !read(left)) yield `${file} is damaged`;
    const isGood = allowed.every(({ release }) => release.sha256 === goal.release.sha256);
    if (isGood && readBoot(left)?.committed?.sha256 !== goal.release.sha256) yield 'what was marked good is not';
    const { run } = prepareRun(left);
    if (run === null) return yield 'nothing to boot';
    if (!allowed.some(({ release }) => release.sha256 === run.sha256)) yield `boots ${run.sha256}`;
    yield* faultsOf(left, run.slot, run.sha256, ALL);
    runUntil(left, goal);
    const { running } = new SlotDirectory(left).status();
    if (running?.release.sha256 !== goal.release.sha256 || !running.committed) yield 'not at the goal';
    else yield* faultsOf(left, running.slot, running.release.sha256, ALL);
  } catch (cause) {
    yield String(cause);
  }
}

const RECORDS = [
  [BOOT_FILE, (files: TreeFiles) => readBoot(files) !== null],
  [NOTES_FILE, (files: TreeFiles) => readNotes(files) !== null],
  ...SLOTS.map((slot) => [manifestOf(slot), (files: TreeFiles) => contentOf(files, slot) !== null] as const),
] as const;

interface Point {
  readonly where: string;
  readonly faults: readonly string[];
}

/** Cuts the power at every call on the way from one release to the next, and once more while it recovers. */
function* cutEverywhere(
  ran: readonly TestRelease[],
  goal: TestRelease,
  omitted: readonly string[] = [],
): Generator<Point> {
  const random = draws(ran.length * 7 + 1);
  const before = kioskWith(ran, goal);
  const both = [...ran.slice(-1), goal];
  for (let call = 0, isDone = false; !isDone; call += 1) {
    const files = copyOf(before).omitting(omitted);
    files.failAt(call);
    const way = goesThrough(files, goal);
    ({ isDone } = way);
    const { isGood } = way;
    const allowed = isGood ? [goal] : both;
    for (const left of leftAfterCut(files, random)) {
      const again = copyOf(left).omitting(omitted);
      yield { where: `call ${call}`, faults: [...faultsAfter(left, allowed, goal)] };
      if (isDone || random.next().value > 0.25) continue;
      again.failAt(Math.floor(random.next().value * 150));
      const next = goesThrough(again, goal).isGood || isGood ? [goal] : both;
      for (const twice of leftAfterCut(again, random))
        yield { where: `call ${call}, and again`, faults: [...faultsAfter(twice, next, goal)] };
    }
  }
}

/** As it is on the disk: everything durable. */
const copyOf = (files: TreeFiles): TreeFiles => files.afterCut(() => 'all');

/** How far it got before the cut: marked good is what no cut takes back. */
function goesThrough(files: TreeFiles, goal: TestRelease): { readonly isGood: boolean; readonly isDone: boolean } {
  let isGood = false;
  try {
    runUntil(files, goal, () => void (isGood = true));
    return { isGood: true, isDone: true };
  } catch (cause) {
    if (cause instanceof PowerCut) return { isGood, isDone: false };
    throw cause;
  }
}

function isNoticed(points: Generator<Point>): boolean {
  for (const { faults } of points) if (faults.length > 0) return true;
  return false;
}

/** A trial that takes the machine down whenever it starts. @returns how often it was started */
function startsOfBadTrial(omitted: readonly string[]): number {
  let files = kioskWith([OLD], NEW).omitting(omitted);
  stepTowards(files, NEW);
  files.syncAll();
  for (let starts = 0; starts < 10; starts += 1) {
    const { trial } = prepareRun(files);
    if (trial === null) return starts;
    files = files.afterCut(() => 'none').omitting(omitted);
  }
  return 10;
}

describe('slots after a power cut at any call', () => {
  it('boot a whole release, and get to the goal: from a release to the next, from the second to the third, and back', () => {
    const points = [
      cutEverywhere([OLD], NEW),
      cutEverywhere([OLD, NEW], NEXT),
      cutEverywhere([OLD, NEW], OLD),
      cutEverywhere([NEW, NEXT], NEW),
    ].flatMap((each) => [...each]);
    expect(points.filter(({ faults }) => faults.length > 0)).toEqual([]);
    expect(points.length).toBeGreaterThan(10_000);
  }, 300_000);

  it('never start a trial more often than it may be', () => {
    expect(startsOfBadTrial([])).toBe(LIMITS.starts);
  });

  it('would not, if any one sync or rename were left out', () => {
    const files = kioskWith([OLD], NEW);
    files.safeguards.length = 0;
    runUntil(files, NEW);
    const needed = [...new Set(files.safeguards)];
    expect(needed.length).toBeGreaterThan(8);
    const missed = needed.filter(
      (safeguard) =>
        !isNoticed(cutEverywhere([OLD], NEW, [safeguard])) && startsOfBadTrial([safeguard]) === LIMITS.starts,
    );
    expect(missed).toEqual([]);
  }, 300_000);
});
