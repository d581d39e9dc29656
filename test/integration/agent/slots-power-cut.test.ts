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

/** Small numbers that look random and are the same every time. */
function* draws(seed: number): Generator<number> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    yield state / 0x7fffffff;
  }
}

/** What may be left of what was not durable: all, nothing, each alone missing or torn, and some at random. */
function* leftAfterCut(files: TreeFiles, random: Generator<number>): Generator<TreeFiles> {
  const { pending } = files;
  yield files.afterCut(() => 'all');
  if (pending.length === 0) return;
  yield files.afterCut(() => 'none');
  for (let at = Math.max(0, pending.length - 8); at < pending.length; at += 1) {
    yield files.afterCut((_, index) => (index === at ? 'none' : 'all'));
    yield files.afterCut((effect, index) => (index === at && effect.kind === 'content' ? 'torn' : 'all'));
    yield files.afterCut((_, index) => (index === at ? 'all' : 'none'));
  }
  for (let draw = 0; draw < 24; draw += 1) {
    const ways = pending.map(
      () => (['all', 'none', 'torn', 'zeros'] as const)[Math.floor(random.next().value * 4)] ?? 'all',
    );
    yield files.afterCut((_, index) => ways[index] ?? 'all');
  }
}

/** Boots what a cut left, and then lets it go on to the goal. @returns what is wrong */
function* faultsAfter(left: TreeFiles, allowed: readonly TestRelease[], goal: TestRelease): Generator<string> {
  try {
    // What recovers from a bad disk must not have to recover from a power cut.
    for (const [file, read] of RECORDS) if (left.look(file) !== null && !read(left)) yield `${file} is damaged`;
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
    const cut = (): TreeFiles => {
      const files = copyOf(before).omitting(omitted);
      files.failAt(call);
      isDone = goesThrough(files, goal);
      return files;
    };
    const files = cut();
    const allowed = isDone ? [goal] : both;
    for (const left of leftAfterCut(files, random)) {
      const again = copyOf(left).omitting(omitted);
      yield { where: `call ${call}`, faults: [...faultsAfter(left, allowed, goal)] };
      if (isDone || random.next().value > 0.25) continue;
      again.failAt(Math.floor(random.next().value * 150));
      const wasDone = goesThrough(again, goal);
      for (const twice of leftAfterCut(again, random))
        yield { where: `call ${call}, and again`, faults: [...faultsAfter(twice, wasDone ? [goal] : both, goal)] };
    }
  }
}

/** As it is on the disk: everything durable. */
const copyOf = (files: TreeFiles): TreeFiles => files.afterCut(() => 'all');

function goesThrough(files: TreeFiles, goal: TestRelease): boolean {
  try {
    runUntil(files, goal);
    return true;
  } catch (cause) {
    if (cause instanceof PowerCut) return false;
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
