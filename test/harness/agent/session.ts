import { deflater, inflater } from '@paddock/agent/adapters/deflate.ts';
import { STATUS_FILE } from '@paddock/agent/clock/clock-status.ts';
import type { Scheduler, WallClock } from '@paddock/agent/ports.ts';
import type { Log } from '@paddock/agent/report/log.ts';
import type { SensorSource, SessionOptions } from '@paddock/agent/report/parts.ts';
import { createPace } from '@paddock/agent/report/pace.ts';
import { startSession, type Session } from '@paddock/agent/report/session.ts';
import { openTimekeeper, type Timekeeper } from '@paddock/agent/report/timekeeper.ts';
import type { Answer } from '@paddock/shared/answer.ts';
import type { Reading, Report } from '@paddock/shared/report.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { makeTestKey } from '../signing.ts';
import { FakeClock, until } from './fake-clock.ts';
import { FakeCloud, type Received } from './fake-cloud.ts';
import { FakeLink } from './fake-link.ts';
import { MemoryDisk } from './memory-disk.ts';

export const DEVICE = 'kiosk-0001';
const BOOT_ID = '6f1d4d5e-5f0e-4b0e-9a56-3f6f3e1f7a11';
const BUILT_AT = wallMs(Date.UTC(2026, 10, 1));

type SensorEvents = Parameters<SensorSource['open']>[0];

/** An agent's session in virtual time, with a broker and a cloud that do what a test says. */
export class SessionBench {
  readonly clock = new FakeClock();
  readonly link = new FakeLink();
  readonly log: { level: string; code: string; message: string }[] = [];
  readings: Record<string, Reading> = { door: { value: true, ageMs: 0 } };
  /** Fires the schedule. */
  tick: () => void = () => {};
  /** Which are running. */
  schedules = 0;
  #sensors: SensorEvents | null = null;
  readonly disk: MemoryDisk;
  readonly cloud: FakeCloud;
  session!: Session;
  time!: Timekeeper;
  /** Hears what the interface for the kiosk's own software hears. */
  answered: (answer: Answer) => void = () => {};
  /** Null: the configuration does not let the agent set it. */
  wallClock: WallClock | null = null;
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
    await bench.begin(options);
    return bench;
  }

  /** {@link start} for a bench that a test has prepared. */
  async begin(options: Partial<SessionOptions> = {}): Promise<void> {
    const scheduler: Scheduler = {
      schedule: (_cron, task) => {
        this.tick = task;
        this.schedules += 1;
        return () => void (this.schedules -= 1);
      },
    };
    const sensors: SensorSource = {
      open: (events) => void (this.#sensors = events),
      readings: () => this.readings,
      close: async () => {},
    };
    const machine = { bootId: async () => BOOT_ID, health: async () => ({ load1: 0.5 }) };
    const { clock, link, disk, cloud } = this;
    const log = this.#log();
    const identity = { incarnation: 'aaaaaaaaaaa', start: 1, ...options };
    this.time = await openTimekeeper(
      { clock, disk, log, wallClock: this.wallClock },
      { ...identity, bootId: BOOT_ID, builtAt: BUILT_AT, stepOverMs: 1_000 },
    );
    cloud.now = clock.truth;
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
        time: this.time,
        local: { answered: (answer) => this.answered(answer) },
        log,
      },
      {
        device: DEVICE,
        incarnation: 'aaaaaaaaaaa',
        start: 1,
        agentVersion: '0.1.0',
        cloudKeys: () => [cloud.key.verification],
        pace: createPace({ cron: '*/5 * * * *', gapMs: 300_000 }),
        jitterMs: 0,
        urgentMinIntervalMs: 1_000,
        outbox: { routineReports: 64, diskBytes: 65_536, maxAgeMs: 30 * 86_400_000 },
        ...options,
      },
    );
  }

  urgent(sensor: string): void {
    this.#sensors?.urgent(sensor);
  }

  /** @param at when it was read; now unless it had to wait in a port */
  event(name: string, data: Record<string, unknown>, at = this.clock.monotonic()): void {
    this.#sensors?.event(name, data, at);
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
    // Or a fault of the disk that a test has in mind would meet the time instead.
    await until(() => this.disk.files.has(STATUS_FILE) || this.disk.hanging > 0, 'the time is written');
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
