import { deflater, inflater } from '@paddock/agent/adapters/deflate.ts';
import type { Scheduler } from '@paddock/agent/ports.ts';
import type { Log } from '@paddock/agent/report/log.ts';
import type { SensorSource, SessionOptions } from '@paddock/agent/report/parts.ts';
import { startSession, type Session } from '@paddock/agent/report/session.ts';
import type { Reading, Report } from '@paddock/shared/report.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { makeTestKey } from '../signing.ts';
import { FakeClock, until } from './fake-clock.ts';
import { FakeCloud, type Received } from './fake-cloud.ts';
import { FakeLink } from './fake-link.ts';
import { MemoryDisk } from './memory-disk.ts';

export const DEVICE = 'kiosk-0001';

type SensorEvents = Parameters<SensorSource['open']>[0];

/** An agent's session in virtual time, with a broker and a cloud that do what a test says. */
export class SessionBench {
  readonly clock = new FakeClock();
  readonly link = new FakeLink();
  readonly log: { level: string; code: string; message: string }[] = [];
  readings: Record<string, Reading> = { door: { value: true, ageMs: 0 } };
  /** Fires the schedule. */
  tick: () => void = () => {};
  #sensors: SensorEvents | null = null;
  readonly disk: MemoryDisk;
  readonly cloud: FakeCloud;
  session!: Session;
  #taken = 0;

  constructor(cloud: FakeCloud, disk: MemoryDisk) {
    this.cloud = cloud;
    this.disk = disk;
  }

  static async start(
    options: Partial<SessionOptions> = {},
    disk = new MemoryDisk(),
    cloud?: FakeCloud,
    readings?: Record<string, Reading>,
  ): Promise<SessionBench> {
    const bench = new SessionBench(cloud ?? (await FakeCloud.create(await makeTestKey())), disk);
    if (readings) bench.readings = readings;
    await bench.#start(options);
    return bench;
  }

  async #start(options: Partial<SessionOptions>): Promise<void> {
    const scheduler: Scheduler = {
      schedule: (_cron, task) => {
        this.tick = task;
        return () => {};
      },
    };
    const sensors: SensorSource = {
      open: (events) => void (this.#sensors = events),
      readings: () => this.readings,
      close: async () => {},
    };
    const machine = {
      bootId: async () => '6f1d4d5e-5f0e-4b0e-9a56-3f6f3e1f7a11',
      health: async () => ({ load1: 0.5 }),
    };
    const { clock, link, disk, cloud } = this;
    this.session = await startSession(
      {
        clock,
        link,
        disk,
        signer: cloud.device.signing,
        machine,
        scheduler,
        deflater,
        inflater,
        sensors,
        log: this.#log(),
      },
      {
        device: DEVICE,
        incarnation: 'aaaaaaaaaaa',
        start: 1,
        agentVersion: '0.1.0',
        cloudKeys: [cloud.key.verification],
        schedule: '*/5 * * * *',
        scheduleGapMs: 300_000,
        jitterMs: 0,
        urgentMinIntervalMs: 1_000,
        outbox: { routineReports: 16, eventBytes: 65_536 },
        ...options,
      },
    );
  }

  urgent(sensor: string): void {
    this.#sensors?.urgent(sensor);
  }

  event(name: string, data: Record<string, unknown>): void {
    this.#sensors?.event(name, data, this.clock.monotonic());
  }

  /** Waits for the next messages that reach the broker. @param record false: the cloud does not get them */
  async arrivals(count: number, options: { record?: boolean } = {}): Promise<Received[]> {
    const from = this.#taken;
    await until(() => this.link.published.length >= from + count, `${count} reports more than ${from}`);
    this.#taken = from + count;
    const envelopes = this.link.published.slice(from, from + count).map(({ payload }) => payload);
    const received: Received[] = [];
    for (const envelope of envelopes) received.push(await this.cloud.receive(envelope, options));
    return received;
  }

  async next(options: { record?: boolean } = {}): Promise<Received> {
    const [received] = await this.arrivals(1, options);
    if (!received) throw new Error('nothing arrived');
    return received;
  }

  /** How many messages reached the broker that were not looked at yet. */
  get unseen(): number {
    return this.link.published.length - this.#taken;
  }

  async answer(to: Received, change: Parameters<FakeCloud['answer']>[1] = {}): Promise<void> {
    this.link.deliver(topicOf('answer', DEVICE), await this.cloud.answer(to, change));
  }

  /** A session that has connected, told its boot and was answered. */
  async connected(): Promise<this> {
    this.link.connect();
    await this.answer(await this.next());
    await until(() => this.held.length === 0, 'nothing is held');
    return this;
  }

  get held(): number[] {
    return this.session.outbox().held.map(({ sequence }) => sequence);
  }

  codes(): string[] {
    return this.log.map(({ code }) => code).filter((code) => code !== '');
  }

  #log(): Log {
    const at =
      (level: string) =>
      (fields: object, message: string): void =>
        void this.log.push({ level, message, code: 'code' in fields ? String(fields.code) : '' });
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }
}

export const triggersOf = (received: readonly { report: Report }[]): string[] =>
  received.map(({ report: { trigger } }) => trigger.kind);
