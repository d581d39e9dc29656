import { inflater } from '@paddock/agent/adapters/deflate.ts';
import type { Handlers } from '@paddock/agent/desired/apply.ts';
import { keepDesired, type DesiredKeeper } from '@paddock/agent/desired/keeper.ts';
import type { Version } from '@paddock/agent/desired/judge.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import type { Desired } from '@paddock/shared/desired.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { makeTestKey, type TestKey } from '../signing.ts';
import { FakeClock } from './fake-clock.ts';
import { MemoryDisk } from './memory-disk.ts';

const DEVICE = 'kiosk-0001';
const LIFE = 'aaaaaaaaaaa';
const HOUR_MS = 3_600_000;

/** A keeper of desired state in virtual time, with a cloud that says what a test wants. */
export class DesiredBench {
  readonly clock = new FakeClock();
  readonly codes: string[] = [];
  /** What the key `x` was told, in order; null where it is gone. */
  readonly applied: unknown[] = [];
  readonly listBehind: (number | null)[] = [];
  readonly key: TestKey;
  disk: Disk;
  /** Of the list of keys. */
  epoch: number | null = 0;
  keys: TestKey[];
  hasTime = true;
  incarnation = LIFE;
  handlers: Handlers = {
    x: {
      apply: async (value) => {
        this.applied.push(value ?? null);
        return null;
      },
    },
  };
  changes = 0;
  keeper!: DesiredKeeper;

  private constructor(key: TestKey, disk: Disk) {
    this.key = key;
    this.keys = [key];
    this.disk = disk;
  }

  static async start(key?: TestKey, disk: Disk = new MemoryDisk()): Promise<DesiredBench> {
    const bench = new DesiredBench(key ?? (await makeTestKey()), disk);
    await bench.begin();
    return bench;
  }

  /** The next start of the agent, on the disk as it is. */
  async begin(): Promise<void> {
    const at = (fields: object): void => void ('code' in fields && this.codes.push(String(fields.code)));
    const log = { debug: at, info: at, warn: at, error: at };
    const time = {
      at: () => ({
        earliest: wallMs(this.clock.truth() - 50),
        latest: this.hasTime ? wallMs(this.clock.truth() + 50) : null,
      }),
    };
    const { clock, disk, handlers, incarnation } = this;
    this.keeper = await keepDesired(
      { clock, disk, log, inflater, time, handlers },
      {
        device: DEVICE,
        incarnation,
        keys: () => this.keys.map(({ verification }) => verification),
        epoch: () => this.epoch,
        listBehind: (epoch) => void this.listBehind.push(epoch),
      },
    );
    this.keeper.begin(() => void (this.changes += 1));
  }

  seal(version: number, change: Partial<Desired> = {}, key = this.key): Promise<string> {
    const now = this.clock.truth();
    const desired: Desired = {
      v: 1,
      device: DEVICE,
      incarnation: this.incarnation,
      epoch: 0,
      version,
      issuedAt: toInstant(now),
      expiresAt: toInstant(wallMs(now + HOUR_MS)),
      state: { x: version },
      ...change,
    };
    return seal('desired', desired, key.signing);
  }

  deliver = (envelope: string): Promise<void> => this.keeper.message(topicOf('desired', DEVICE), envelope);

  async send(...message: Parameters<DesiredBench['seal']>): Promise<void> {
    await this.deliver(await this.seal(...message));
  }

  answer = (version: number, epoch = 0): Promise<void> => this.keeper.answered({ epoch, version });

  held(): Version | null {
    const reported = this.keeper.reported();
    return reported && { epoch: reported.epoch, version: reported.version };
  }
}
