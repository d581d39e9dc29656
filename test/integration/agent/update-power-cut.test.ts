import { beforeAll, describe, expect, it } from 'vitest';
import { faultsOfCut } from '../../harness/agent/cut-judge.ts';
import { cutEverywhere, faultsOfGoingOn, safeguardsOf, type Cuts } from '../../harness/agent/cut-life.ts';
import { stageOf, STORIES, type Stage, type Story } from '../../harness/agent/cut-stories.ts';

/** So many of what cuts left in a story go on to its end. */
const GO_ON = 24;

const stages = new Map<Story, Stage>();
const stage = (story: Story): Stage => stages.get(story) ?? expect.fail('no stage');
beforeAll(async () => {
  for (const story of STORIES) stages.set(story, await stageOf(story));
});

async function faultsIn(story: Story, { lefts }: Pick<Cuts, 'lefts'>, most: number): Promise<string[]> {
  const faults: string[] = [];
  for (const { files, expected, where } of lefts) {
    for await (const fault of faultsOfCut(files, expected, story)) faults.push(`${where}: ${fault}`);
    if (faults.length >= most) break;
  }
  return faults;
}

/** In any story that has it. */
async function isNoticed(safeguard: string, stories: readonly Story[]): Promise<boolean> {
  for (const story of stories) {
    const cuts = await cutEverywhere(story, stage(story), { omitted: [safeguard], drawn: 2 });
    if ((await faultsIn(story, cuts, 1)).length > 0) return true;
  }
  return false;
}

describe('a power cut at any moment of an update', () => {
  let points = 0;

  it.each(STORIES)('$name: leaves what was promised, and whatever it left gets to the end', async (story) => {
    const cuts = await cutEverywhere(story, stage(story));
    points += cuts.points;
    expect(await faultsIn(story, cuts, 5)).toEqual([]);
    const some = Array.from({ length: GO_ON }, (_, at) => cuts.lefts[Math.floor((at * cuts.lefts.length) / GO_ON)]);
    for (const left of some) {
      const faults = left && (await faultsOfGoingOn(left.files, story, stage(story)));
      expect(faults, left?.where).toEqual([]);
    }
  });

  it('would be missed, if any one sync or rename were left out', async () => {
    const needed = new Map<string, Story[]>();
    for (const story of STORIES.toReversed())
      for (const one of await safeguardsOf(story, stage(story))) needed.set(one, [...(needed.get(one) ?? []), story]);
    expect(needed.size).toBeGreaterThan(40);
    const missed: string[] = [];
    for (const [one, stories] of needed) if (!(await isNoticed(one, stories))) missed.push(one);
    expect(missed).toEqual([]);
  }, 400_000);

  it('was tried at more than ten thousand points', () => {
    expect(points).toBeGreaterThan(10_000);
  });
});
