import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeySet } from '@paddock/shared/keys.ts';
import type { Report } from '@paddock/shared/report.ts';
import { processesWith } from '../harness/processes.ts';
import { randomOf } from '../harness/random.ts';
import type { Target, TcpRelay } from '../harness/tcp-relay.ts';
import { superviseMosquitto, type SupervisedBroker } from './broker.ts';
import { callApi, CloudInstance } from './clouds.ts';
import { ownDatabase, privateDatabase, type ChaosDatabase } from './database.ts';
import { Kiosk, toldStarts } from './kiosk.ts';
import type { Blow, Kind } from './plan.ts';
import { eventually } from './waiting.ts';

const STOP_WITHIN_MS = 60_000;
const SWIPE_EVERY_MS = 1_500;
const ANSWER_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 50;

/** Which broker the reports go through: the service's own, or Mosquitto. */
export type BrokerChoice = 'embedded' | 'mosquitto';

/** How a world is built: what is in it, and what may be struck. */
export const WORLDS = {
  // One instance with the broker and the PostgreSQL that it brings along.
  embedded: { clouds: 1, kinds: ['agent', 'cloud', 'database', 'agent-network'] },
  // Two instances that share what stands beside them.
  mosquitto: {
    clouds: 2,
    kinds: ['agent', 'cloud', 'database', 'broker', 'agent-network', 'cloud-network', 'database-network'],
  },
} as const satisfies Record<BrokerChoice, { clouds: number; kinds: readonly Kind[] }>;

interface Parts {
  readonly folder: string;
  readonly dataDir: string;
  readonly mosquitto: SupervisedBroker | null;
  readonly database: ChaosDatabase;
  readonly clouds: readonly CloudInstance[];
  readonly kiosks: Kiosk[];
}

/** Kiosks with their hardware and the cloud service, all of it real processes that may be struck at any moment. */
export class World {
  readonly #parts: Parts;
  readonly #seed: number;
  readonly #troubles = new Set<Promise<void>>();

  private constructor(parts: Parts, seed: number) {
    this.#parts = parts;
    this.#seed = seed;
  }

  /** Builds everything but the kiosks and starts the cloud; nothing is struck before {@link begin}. */
  static async build(broker: BrokerChoice, seed: number): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), 'paddock-chaos-'));
    const dataDir = join(folder, 'cloud');
    const mosquitto = broker === 'mosquitto' ? await superviseMosquitto() : null;
    const database = broker === 'mosquitto' ? await ownDatabase() : privateDatabase(dataDir);
    const places = { folder, dataDir, broker: mosquitto, database: database.given };
    const clouds: CloudInstance[] = [];
    for (let n = 1; n <= WORLDS[broker].clouds; n += 1) clouds.push(await CloudInstance.build(`cloud-${n}`, places));
    return new World({ folder, dataDir, mosquitto, database, clouds, kiosks: [] }, seed);
  }

  get kiosks(): readonly Kiosk[] {
    return this.#parts.kiosks;
  }

  get clouds(): readonly CloudInstance[] {
    return this.#parts.clouds;
  }

  get database(): ChaosDatabase {
    return this.#parts.database;
  }

  get folder(): string {
    return this.#parts.folder;
  }

  /** Starts the cloud, builds and registers the kiosks, starts their agents, and waits for their first answers. */
  async begin(count: number): Promise<void> {
    const { clouds, kiosks, folder } = this.#parts;
    for (const cloud of clouds) {
      cloud.process.start();
      await eventually(
        'the cloud to be ready',
        async () => cloud.port('http'),
        () => cloud.process.output(),
      );
    }
    for (let n = 1; n <= count; n += 1) {
      const places = {
        broker: () => this.#broker(),
        random: randomOf(this.#seed + n),
        register: (deviceId: string, publicKey: object) =>
          this.call('POST', '/devices', { deviceId, publicKey }).then(
            (answer) => (answer as { cloudKeys: KeySet }).cloudKeys,
          ),
      };
      kiosks.push(await Kiosk.build(folder, `kiosk-chaos-${n}`, places));
    }
    for (const { agent } of kiosks) agent.start();
    for (const { tap, agent } of kiosks)
      await eventually(
        'the first answer',
        async () => (await tap.told()).recorded.size > 0,
        () => agent.output(),
      );
  }

  /** Waits for a new answer to any kiosk, and not for ever: what is broken is judged in the end. */
  async hearAnswer(): Promise<void> {
    const heard = (): number => this.#parts.kiosks.reduce((sum, { tap }) => sum + tap.answersHeard(), 0);
    const before = heard();
    const until = performance.now() + ANSWER_WITHIN_MS;
    while (heard() === before && performance.now() < until) await sleep(LOOK_EVERY_MS);
  }

  /** Kills what is running, or what is being started again, and waits until it is dead; or troubles a network. */
  async strike(blow: Blow): Promise<void> {
    const { clouds, kiosks, database, mosquitto } = this.#parts;
    const one = <T>(of: readonly T[]): T => chosen(of, blow.which);
    switch (blow.kind) {
      case 'agent':
        return one(kiosks).agent.kill();
      case 'cloud':
        return one(clouds).process.kill();
      case 'database':
        return database.kill();
      case 'broker':
        return mosquitto?.kill();
      case 'agent-network':
        return this.#trouble(one(kiosks).toBroker, blow);
      case 'cloud-network':
        return this.#trouble(one(clouds).toBroker, blow);
      case 'database-network':
        return this.#trouble(one(clouds).toDatabase, blow);
    }
  }

  /** Lets everything come to rest: until a report of this life, made from now on, says that nothing waits for an answer. */
  async settle(): Promise<void> {
    await Promise.all(this.#troubles);
    await Promise.all(this.#parts.kiosks.map((kiosk) => this.#settleKiosk(kiosk)));
  }

  async #settleKiosk({ reader, agent, device }: Kiosk): Promise<void> {
    const since = Date.now();
    let last: Report | null = null;
    let least = Infinity;
    reader.rest();
    await eventually(
      `a report of ${device} that says that nothing waits for an answer`,
      async () => {
        reader.swipe();
        await sleep(SWIPE_EVERY_MS);
        last = (await this.#lastReport(device)) ?? last;
        least = Math.min(least, last?.outbox?.waiting ?? Infinity);
        if (last === null || last.start !== toldStarts(agent.logs).at(-1)) return false;
        return (last.wallMs ?? 0) > since && last.outbox?.waiting === 0;
      },
      () => `The last known state: ${JSON.stringify(last)}`,
      // After a long run it takes as long as an outbox takes to drain.
      () => least,
    );
  }

  /** Stops agents and services. @returns how each of them ended, and what was still there after that */
  async stop(): Promise<{ goodbyes: string[]; leftBehind: string[] }> {
    const { clouds, kiosks, folder, database } = this.#parts;
    const goodbyes = await Promise.all(kiosks.map(({ agent }) => agent.stop(STOP_WITHIN_MS)));
    for (const cloud of clouds) goodbyes.push(await cloud.process.stop(STOP_WITHIN_MS));
    return { goodbyes, leftBehind: [...(await processesWith(folder)), ...(await database.leftBehind())] };
  }

  /** Whatever happened before. @param keep leaves the files, to be looked at */
  async close(keep: boolean): Promise<void> {
    const { clouds, kiosks, database, mosquitto, folder } = this.#parts;
    await Promise.all(this.#troubles);
    for (const part of [...kiosks, ...clouds]) await part.close(STOP_WITHIN_MS);
    await mosquitto?.stop();
    await database.stop();
    if (!keep) await rm(folder, { recursive: true, force: true });
  }

  call(method: string, path: string, body?: object): Promise<unknown> {
    const { clouds, dataDir } = this.#parts;
    return callApi(clouds, dataDir, [method, path], body);
  }

  /** @returns the port of the broker that stands now */
  brokerPort(): number {
    const target = this.#broker();
    if (typeof target !== 'number') throw new Error('There is no broker');
    return target;
  }

  #broker(): Target | null {
    const { mosquitto, clouds } = this.#parts;
    return mosquitto === null ? (clouds[0]?.port('mqtt') ?? null) : mosquitto.port();
  }

  #trouble(network: TcpRelay | null, { trouble, lastsMs }: Blow): void {
    if (network === null) throw new Error('There is no such network in this world');
    const work = async (): Promise<void> => {
      if (trouble !== 'cut') {
        network.stall();
        await sleep(lastsMs);
      }
      if (trouble !== 'stall') network.cut();
      network.flow();
    };
    const done: Promise<void> = work().finally(() => this.#troubles.delete(done));
    this.#troubles.add(done);
  }

  async #lastReport(device: string): Promise<Report | null> {
    try {
      return ((await this.call('GET', `/devices/${device}/state`)) as { report: Report }).report;
    } catch {
      return null; // Not up yet.
    }
  }
}

function chosen<T>(of: readonly T[], which: number): T {
  const one = of[Math.floor(which * of.length)];
  if (one === undefined) throw new Error('There is nothing to strike');
  return one;
}
