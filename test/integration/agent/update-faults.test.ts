import type { FileCalls } from '@paddock/agent/adapters/disk-calls.ts';
import { describe, expect, it } from 'vitest';
import { FaultyCalls, type Fault } from '../../harness/agent/faulty-calls.ts';
import { faultsOf, releaseOf } from '../../harness/agent/slots.ts';
import type { TreeFiles } from '../../harness/agent/tree-files.ts';
import { UpdateDevice, UpdateRepository } from '../../harness/agent/update-device.ts';

const ONE = releaseOf(1, { 'bin/kiosk': 'one', 'web/app.js': 'a'.repeat(3_000) });
const TWO = releaseOf(2, { 'bin/kiosk': 'two', 'web/app.js': `${'a'.repeat(3_000)}b` });
const repository = new UpdateRepository();
repository.publishRelease(ONE);
repository.publishRelease(TWO, [ONE]);

/** What the agent may call it: in its reports, and in its log where it could not write down even that. */
const NAMES = {
  ENOSPC: ['install_no_space', 'update_no_space', 'ENOSPC'],
  EIO: ['install_disk_failed', 'update_disk_failed', 'EIO'],
} as const;

/** The disk of the agent itself, with journal, trust store and lock, and that of slots and objects. */
type Where = 'agent' | 'slots';

class FaultyDevice {
  readonly device: UpdateDevice;
  readonly #files: Promise<FaultyCalls<FileCalls>>;
  #tree: FaultyCalls | null = null;

  constructor(calls?: TreeFiles) {
    const files = Promise.withResolvers<FaultyCalls<FileCalls>>();
    this.#files = files.promise;
    this.device = new UpdateDevice({
      repository,
      ...(calls && { calls }),
      asTree: (tree) => (this.#tree = new FaultyCalls(tree, null)).calls,
      asFiles: (own) => {
        const faulty = new FaultyCalls(own, null, 'rejects');
        files.resolve(faulty);
        return faulty.calls;
      },
    });
  }

  /** Begins to count calls. */
  async faulty(where: Where): Promise<FaultyCalls<FileCalls> | FaultyCalls> {
    const faulty = where === 'slots' && this.#tree !== null ? this.#tree : await this.#files;
    faulty.count = 0;
    return faulty;
  }

  async runs(release: typeof ONE): Promise<void> {
    const { device } = this;
    await device.desire(release);
    await device.untilRuns(release);
    device.updates.cloudReached();
    await device.untilState('idle');
  }
}

async function deviceOnOne(): Promise<TreeFiles> {
  const living = new FaultyDevice();
  await living.device.start();
  await living.runs(ONE);
  await living.device.stop();
  return living.device.calls;
}
const KIOSK = await deviceOnOne();

/** A whole update whose disk fails at one call. @returns what is wrong with what became of it, and how many calls it took */
async function updateWith(where: Where, fault: Fault | null): Promise<{ faults: string[]; calls: number }> {
  const living = new FaultyDevice(KIOSK.afterCut(() => 'all'));
  const { device } = living;
  await device.start();
  const faulty = await living.faulty(where);
  faulty.fault = fault;
  const faults: string[] = [];
  await living.runs(TWO).catch((cause: unknown) => faults.push(String(cause)));
  await device.stop();
  const { slot, quarantined = [] } = device.updates.reported();
  faults.push(...faultsOf(device.calls, slot ?? 'a', TWO.release.sha256, [TWO]));
  if (quarantined.length > 0) faults.push('a good release is in quarantine');
  if (fault !== null && faulty.failed !== null && !isSaid(device, fault)) faults.push('nobody says so');
  return { faults: faults.map((each) => `${fault?.code} at ${faulty.failed}: ${each}`), calls: faulty.count };
}

const isSaid = ({ said }: UpdateDevice, { code }: Fault): boolean =>
  said.some((each) => NAMES[code].some((name) => name === each.code));

describe.each<[Where, number]>([
  ['agent', 1],
  // Each of them is tried without an agent, too.
  ['slots', 5],
])('a disk of %s that fails once in an update', (where, step) => {
  it.each(['ENOSPC', 'EIO'] as const)(
    'for %s: is told of, blames no release, and keeps nobody from the goal',
    async (code) => {
      const { faults, calls } = await updateWith(where, null);
      expect(faults).toEqual([]);
      expect(calls).toBeGreaterThan(100);
      for (let at = 0; at < calls; at += step)
        faults.push(...(await updateWith(where, { at, code, for: 'once' })).faults);
      expect(faults).toEqual([]);
    },
  );
});
