import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { keepDesired, type DesiredKeeper } from '@paddock/agent/desired/keeper.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { TestKey } from '../signing.ts';
import { EPOCH } from '../tuf/simulator.ts';
import type { TestRelease } from './slots.ts';
import { Promised } from './promised.ts';
import type { TreeFiles } from './tree-files.ts';
import { STATE, UpdateDevice, type UpdateRepository } from './update-device.ts';

const DEVICE = 'kiosk-0001';
const LIFE = 'aaaaaaaaaaa';
const HOUR = 3_600_000;

/** What the cloud wants, version by version; the last one is current. */
export type Wanted = readonly TestRelease[];

/**
 * One start of a kiosk: desired state, updates, metadata, slots and launcher, all of it real and on one file system
 * that remembers what a power cut would leave.
 */
export class CutKiosk {
  readonly device: UpdateDevice;
  readonly promised: Promised;
  readonly #key: TestKey;
  #keeper: DesiredKeeper | null = null;

  /** @param isHealthy whether the probe of what runs ends well */
  constructor(files: TreeFiles, { repository, key }: { repository: UpdateRepository; key: TestKey }) {
    this.#key = key;
    this.promised = new Promised(files, STATE);
    const { around } = this.promised;
    this.device = new UpdateDevice({ repository, calls: files, around, asDisk: (disk) => this.promised.disk(disk) });
    this.device.program = async ([, counter]) => ({ code: counter === 'bad' ? 1 : 0, timedOut: false, output: '' });
  }

  async start(): Promise<void> {
    await this.device.start();
    const { updates, clock, time, disk } = this.device;
    const apply = async (value: unknown) => {
      this.promised.applied(value);
      return updates.handler.apply(value);
    };
    const nothing = (): void => {};
    this.#keeper = await keepDesired(
      {
        clock,
        disk: disk satisfies Disk,
        log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
        inflater,
        time: { at: () => ({ earliest: wallMs(time.earliest), latest: wallMs(time.earliest) }) },
        handlers: { firmware: { apply } },
      },
      { device: DEVICE, incarnation: LIFE, keys: () => [this.#key.verification], epoch: () => 0, listBehind: nothing },
    );
  }

  /** The cloud's answer, and what it sends because the answer shows it missing. */
  async hear(wanted: Wanted): Promise<void> {
    const version = wanted.length;
    const at = wallMs(EPOCH + HOUR);
    const state = { firmware: wanted.at(-1)?.release };
    const times = { issuedAt: toInstant(at), expiresAt: toInstant(wallMs(at + HOUR)) };
    const desired = { v: 1, device: DEVICE, incarnation: LIFE, epoch: 0, version, ...times, state } as const;
    await this.#keeper?.answered({ epoch: 0, version });
    await this.#keeper?.message(topicOf('desired', DEVICE), await seal('desired', desired, this.#key.signing));
  }

  /** Until it runs this, committed, has nothing more to do, and has tried what was wanted. */
  async settled({ release }: TestRelease, wanted: TestRelease): Promise<void> {
    const { device } = this;
    await device.until(({ running, committed, state, quarantined = [] }) => {
      const isThere = committed && running?.sha256 === release.sha256;
      if (isThere && state === 'committed') device.updates.cloudReached();
      const isTried = wanted.release.sha256 === release.sha256 || quarantined.includes(wanted.release.sha256);
      return isThere && isTried && (state === 'idle' || state === 'rolled-back' || state === 'failed');
    });
    await device.until(() => device.launcher.status_?.sha256 === release.sha256);
  }

  async stop(): Promise<void> {
    await this.#keeper?.stop();
    await this.device.stop();
  }
}
