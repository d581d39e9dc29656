import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { DESIRED_FILE, parseTakenUp } from '@paddock/agent/desired/file.ts';
import { expect, it } from 'vitest';
import { DesiredBench } from '../../../harness/agent/desired.ts';
import { afterPowerCut, RecordingFiles, type Safeguard } from '../../../harness/agent/power-cut.ts';

/** What a file that is replaced stands on. */
const REPLACING: readonly Safeguard[] = [
  'sync of what replaces',
  'rename over the old file',
  'sync of the name that was replaced',
];

it('what is applied survives a power cut at any call of the file system, and not without the safeguards', async () => {
  const { cuts, wrong } = await cutWhileTakingUp(null);
  expect(wrong).toEqual([]);
  expect(cuts).toBeGreaterThan(50);
  for (const safeguard of REPLACING) expect((await cutWhileTakingUp(safeguard)).wrong).not.toEqual([]);
});

/** Takes up three versions. @returns every state after a power cut that is older than what was applied by then */
async function cutWhileTakingUp(omitted: Safeguard | null): Promise<{ cuts: number; wrong: string[] }> {
  const files = new RecordingFiles(omitted);
  const applied: { readonly after: number; readonly version: number }[] = [{ after: 0, version: 0 }];
  const bench = await DesiredBench.start(undefined, await openDisk('/data', files));
  bench.handlers = {
    x: {
      apply: async (version) => {
        applied.push({ after: files.changes.length, version: Number(version ?? 0) });
        return null;
      },
    },
  };
  await bench.begin();
  await bench.answer(1);
  for (const version of [1, 2, 3]) await bench.send(version);
  const wrong: string[] = [];
  let cuts = 0;
  for (let count = 0; count <= files.changes.length; count += 1) {
    const least = applied.findLast(({ after }) => after <= count)?.version ?? 0;
    for (const left of afterPowerCut(files.changes, count)) {
      cuts += 1;
      const found = await parseTakenUp(left.get(`/data/${DESIRED_FILE}`) ?? null);
      const version = found === 'missing' ? 0 : found === 'damaged' ? -1 : found.version;
      if (version < least) wrong.push(`cut ${count}: ${version} after ${least}`);
    }
  }
  return { cuts, wrong };
}
