import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { describe, expect, it } from 'vitest';
import { faultsOf, releaseOf } from '../../harness/agent/slots.ts';
import { PowerCut, type TreeFiles } from '../../harness/agent/tree-files.ts';
import { UpdateDevice, UpdateRepository } from '../../harness/agent/update-device.ts';
import { randomOf } from '../../harness/random.ts';

const ONE = releaseOf(1, { 'bin/kiosk': 'one', 'web/app.js': 'a'.repeat(3_000) });
const TWO = releaseOf(2, { 'bin/kiosk': 'two', 'web/app.js': `${'a'.repeat(3_000)}b`, 'web/new.js': 'new' });
const RELEASES = [ONE, TWO];
/** Of all calls of the file system in an update one in so many is cut at, another one each time. */
const EVERY = 5;

const repository = new UpdateRepository();
repository.publishRelease(ONE);
repository.publishRelease(TWO, [ONE]);

async function reach(device: UpdateDevice, release: typeof ONE): Promise<void> {
  await device.start();
  await device.desire(release);
  await device.untilRuns(release);
}

/** What a device is that runs the first release: copied for each cut. */
async function onOne(): Promise<TreeFiles> {
  const device = new UpdateDevice({ repository });
  await reach(device, ONE);
  device.updates.cloudReached();
  await device.untilState('idle');
  await device.stop();
  return device.calls.afterCut(() => 'all');
}

/** The update, until the power is cut before a call. @returns null when it came to its end before that */
async function cutAt(calls: TreeFiles, call: number): Promise<TreeFiles | null> {
  const device = new UpdateDevice({ repository, calls });
  let isCut = false;
  calls.failAt(calls.calls + call, () => {
    isCut = true;
    return new PowerCut();
  });
  const isThere = (): boolean => {
    const { running, committed } = device.updates.reported();
    return committed && running?.sha256 === TWO.release.sha256;
  };
  try {
    await device.start();
    await device.desire(TWO);
    while (!isCut && !isThere()) await new Promise((resolve) => setImmediate(resolve));
    await device.stop();
  } catch (cause) {
    if (!(cause instanceof PowerCut)) throw cause;
  }
  return isCut ? calls : null;
}

describe('a power cut during an update', () => {
  it('leaves a whole release that boots, and the update goes on to its end, wherever it strikes', async () => {
    const random = randomOf(20_261_128);
    const before = await onOne();
    let points = 0;
    for (let call = 1 + Math.floor(random() * EVERY); ; call += 1 + Math.floor(random() * EVERY * 2)) {
      const struck = await cutAt(
        before.afterCut(() => 'all'),
        call,
      );
      if (struck === null) break;
      points += 1;
      const ways = ['all', 'none', 'torn', 'zeros'] as const;
      const left = struck.afterCut(() => ways[Math.floor(random() * ways.length)] ?? 'all');
      // The launcher boots before the agent, and perhaps long before it.
      const { run } = prepareRun(left);
      expect(run).not.toBeNull();
      expect(run && faultsOf(left, run.slot, run.sha256, RELEASES)).toEqual([]);
      const device = new UpdateDevice({ repository, calls: left, bootId: 'boot-2' });
      await reach(device, TWO);
      const { slot, quarantined } = device.updates.reported();
      expect(faultsOf(left, slot ?? 'a', TWO.release.sha256, RELEASES)).toEqual([]);
      expect(quarantined).toBeUndefined();
      await device.stop();
    }
    expect(points).toBeGreaterThan(50);
  });
});
