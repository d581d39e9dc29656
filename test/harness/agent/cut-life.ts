import { createHash } from 'node:crypto';
import { CutKiosk } from './cut-kiosk.ts';
import { BAD, RELEASES, type Stage, type Story } from './cut-stories.ts';
import type { Expected } from './promised.ts';
import { faultsOf } from './slots.ts';
import { draws, leftAfterCut } from './tree-cuts.ts';
import type { TreeFiles } from './tree-files.ts';

/** What one cut left, and what it must not have taken. */
export interface Left {
  readonly files: TreeFiles;
  readonly expected: Expected;
  readonly where: string;
}

export interface Cuts {
  /** How often the power was cut. */
  readonly points: number;
  /** What that left, each once. */
  readonly lefts: readonly Left[];
}

/**
 * Lives through a story, and cuts the power behind everything that it does to the disk.
 * @param options.drawn so many leftovers of each point are random, besides those with one thing missing or alone there
 */
export async function cutEverywhere(
  story: Story,
  stage: Stage,
  { omitted = [], drawn = 8 }: { readonly omitted?: readonly string[]; readonly drawn?: number } = {},
): Promise<Cuts> {
  const files = stage.files.afterCut(() => 'all').omitting(omitted);
  const random = draws(7);
  const seen = new Set<string>();
  const lefts: Left[] = [];
  let points = 0;
  let kiosk: CutKiosk | null = null;
  files.changed = () => {
    const expected = kiosk?.promised.expected() ?? { files: new Map(), parts: new Map(), applied: 0 };
    const before = digestOf([...expected.files.values()].flat(), [...expected.files.keys(), expected.applied].join());
    for (const left of leftAfterCut(files, random, drawn)) {
      points += 1;
      const digest = `${before} ${digestOfTree(left)}`;
      if (!seen.has(digest)) lefts.push({ files: left, expected, where: `${story.name}, point ${points}` });
      seen.add(digest);
    }
  };
  await liveOn(files, story, stage, (living) => void (kiosk = living));
  return { points, lefts };
}

/** What the story does to make things durable, each kind once. */
export async function safeguardsOf(story: Story, stage: Stage): Promise<readonly string[]> {
  const files = stage.files.afterCut(() => 'all');
  await liveOn(files, story, stage);
  return [...new Set(files.safeguards)];
}

async function liveOn(
  files: TreeFiles,
  { ends, wants }: Story,
  stage: Stage,
  begun: (kiosk: CutKiosk) => void = () => {},
): Promise<CutKiosk> {
  const kiosk = new CutKiosk(files, stage);
  begun(kiosk);
  await kiosk.start();
  await kiosk.hear(stage.wanted);
  await kiosk.settled(ends, wants);
  await kiosk.stop();
  files.changed = () => {};
  return kiosk;
}

/** The next start of a kiosk on what a cut left. @returns what is wrong in the end */
export async function faultsOfGoingOn(left: TreeFiles, story: Story, stage: Stage): Promise<string[]> {
  const { ends, wants } = story;
  const files = left.afterCut(() => 'all');
  const kiosk = await liveOn(files, story, stage);
  const { slot, quarantined = [], running } = kiosk.device.updates.reported();
  const faults = faultsOf(files, slot ?? 'a', ends.release.sha256, RELEASES);
  if (running?.sha256 !== ends.release.sha256) faults.push('it runs something else');
  const expected = wants === BAD ? [BAD.release.sha256] : [];
  if (quarantined.join() !== expected.join()) faults.push(`in quarantine is ${quarantined.join()}`);
  return faults;
}

const known = new WeakMap<Uint8Array, string>();
const hashOf = (bytes: Uint8Array | null): string => {
  if (bytes === null) return '-';
  const hash = known.get(bytes) ?? createHash('sha1').update(bytes).digest('base64');
  known.set(bytes, hash);
  return hash;
};
const digestOf = (contents: readonly (Uint8Array | null)[], names: string): string =>
  createHash('sha1')
    .update(`${names} ${contents.map(hashOf).join()}`)
    .digest('base64');

function digestOfTree(files: TreeFiles): string {
  const walk = (directory: string): string[] =>
    files.list(directory).flatMap((name) => {
      const path = `${directory}/${name}`;
      const kind = files.look(path)?.kind;
      return kind === 'directory' ? [path, ...walk(path)] : [`${path} ${kind} ${hashOf(files.bytes(path))}`];
    });
  return createHash('sha1').update(walk('.').toSorted().join('\n')).digest('base64');
}
