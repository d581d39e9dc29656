import { readFile, rm, writeFile } from 'node:fs/promises';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { importVerificationKey, type KeySet, type VerificationKey } from '@paddock/shared/keys.ts';
import type { Report } from '@paddock/shared/report.ts';
import { startMqttRelay, type MqttRelay } from '../harness/mqtt-relay.ts';
import { processesWith } from '../harness/processes.ts';
import { randomOf } from '../harness/random.ts';
import { readDatabase } from './archive.ts';
import { superviseMosquitto, type SupervisedBroker } from './broker.ts';
import { plugInCardReader, type CardReader } from './card-reader.ts';
import { databaseProcesses, killPostmaster } from './database.ts';
import type { Evidence } from './judge.ts';
import { acceptedEvents, DEVICE, makeHome, ownRecord, toldStarts } from './kiosk.ts';
import type { Kind } from './plan.ts';
import { programOf, Supervised, type OwnEnd } from './supervised.ts';
import { tapDevice, type Tap } from './tap.ts';
import { eventually } from './waiting.ts';

const ROOT = join(import.meta.dirname, '../..');
const STOP_WITHIN_MS = 60_000;
const SWIPE_EVERY_MS = 1_500;

/** Which broker the reports go through: the service's own, or Mosquitto. */
export type BrokerChoice = 'embedded' | 'mosquitto';

interface Parts {
  readonly folder: string;
  readonly dataDir: string;
  readonly home: string;
  readonly mosquitto: SupervisedBroker | null;
  readonly relay: MqttRelay;
  readonly cloud: Supervised;
  readonly agent: Supervised;
  readonly reader: CardReader;
  readonly tap: Tap;
}

/** A kiosk with its hardware and the cloud service, all of it real processes that may be killed at any moment. */
export class World {
  readonly #parts: Parts;
  #deviceKey: VerificationKey | null = null;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Builds everything and starts the cloud; nothing is killed before {@link begin}. */
  static async build(broker: BrokerChoice, seed: number): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), 'paddock-chaos-'));
    const [dataDir, home] = [join(folder, 'cloud'), join(folder, 'kiosk')];
    mkdirSync(home);
    const tap = tapDevice(DEVICE);
    const mosquitto = broker === 'mosquitto' ? await superviseMosquitto() : null;
    const target = (): number | null => (mosquitto === null ? portOf(cloud, 'mqtt') : mosquitto.port());
    const relay = await startMqttRelay(target, { passed: (message) => tap.passed(message) });
    const cloud = superviseCloud(folder, dataDir, mosquitto === null ? '' : relay.url);
    const agent = superviseAgent(folder, home);
    const reader = plugInCardReader(randomOf(seed));
    return new World({ folder, dataDir, home, mosquitto, relay, cloud, agent, reader, tap });
  }

  /** Starts the cloud, registers the kiosk, starts its agent, and waits for its first answer. */
  async begin(): Promise<void> {
    const { cloud, agent, home, relay, reader, tap } = this.#parts;
    cloud.start();
    await eventually(
      'the cloud to be ready',
      async () => portOf(cloud, 'http'),
      () => cloud.output(),
    );
    const deviceKey = await makeHome(home, relay.url, reader.path);
    const { cloudKeys } = (await this.#call('POST', '/devices', {
      deviceId: DEVICE,
      publicKey: deviceKey.jwk,
    })) as { cloudKeys: KeySet };
    const [online] = cloudKeys.keys;
    if (online === undefined) throw new Error('The cloud has no online key');
    tap.verifyWith(await importVerificationKey(online));
    await writeFile(join(home, 'cloud-keys.json'), JSON.stringify(cloudKeys));
    this.#deviceKey = deviceKey;
    agent.start();
    await eventually(
      'the first answer',
      async () => (await tap.told()).recorded.size > 0,
      () => agent.output(),
    );
  }

  /** kill -9 of what is running, or of what is being started again. Resolves when it is dead. */
  async kill(kind: Kind): Promise<void> {
    const { agent, cloud, mosquitto, dataDir } = this.#parts;
    switch (kind) {
      case 'agent':
        return agent.kill();
      case 'cloud':
        return cloud.kill();
      case 'database':
        return killPostmaster(dataDir);
      case 'broker':
        if (mosquitto === null) throw new Error('The embedded broker dies with the cloud');
        return mosquitto.kill();
    }
  }

  /** Lets everything come to rest: until a report of this life, made from now on, says that nothing waits for an answer. */
  async settle(): Promise<void> {
    const { reader, agent } = this.#parts;
    const since = Date.now();
    let last: Report | null = null;
    reader.rest();
    await eventually(
      'a report that says that nothing waits for an answer',
      async () => {
        reader.swipe();
        await sleep(SWIPE_EVERY_MS);
        last = (await this.#lastReport()) ?? last;
        if (last === null || last.start !== toldStarts(agent.logs).at(-1)) return false;
        return (last.wallMs ?? 0) > since && last.outbox?.waiting === 0;
      },
      () => `The last known state: ${JSON.stringify(last)}`,
    );
  }

  /** Stops everything in order, and collects what there is to know. */
  async evidence(): Promise<Evidence & Surroundings> {
    const { agent, cloud, reader, tap, home, dataDir, folder } = this.#parts;
    if (this.#deviceKey === null) throw new Error('The world has not begun');
    const goodbyes = [await agent.stop(STOP_WITHIN_MS), await cloud.stop(STOP_WITHIN_MS)];
    const leftBehind = [...(await processesWith(folder)), ...(await databaseProcesses(dataDir)).map(String)];
    const own = await ownRecord(home);
    return {
      swipes: reader.swipes(),
      accepted: acceptedEvents(agent.logs, own.incarnation),
      told: await tap.told(),
      database: await readDatabase(dataDir, DEVICE, this.#deviceKey),
      own,
      agent: { starts: toldStarts(agent.logs), lives: agent.lives },
      reportsSent: tap.reportsSent(),
      goodbyes,
      leftBehind,
      ownEnds: { agent: agent.ownEnds, cloud: cloud.ownEnds.filter(({ wasReady }) => wasReady) },
      failedStarts: cloud.ownEnds.filter(({ wasReady }) => !wasReady).length,
      peakMiB: { agent: agent.peakMiB, cloud: cloud.peakMiB },
      logs: { agent: agent.logs, cloud: cloud.logs },
    };
  }

  /** Whatever happened before. @param keep leaves the files, to be looked at */
  async close(keep: boolean): Promise<void> {
    const { reader, agent, cloud, relay, mosquitto, folder } = this.#parts;
    reader.close();
    await agent.stop(STOP_WITHIN_MS);
    await cloud.stop(STOP_WITHIN_MS);
    await relay.close();
    await mosquitto?.stop();
    if (!keep) await rm(folder, { recursive: true, force: true });
  }

  async #lastReport(): Promise<Report | null> {
    try {
      return ((await this.#call('GET', `/devices/${DEVICE}/state`)) as { report: Report }).report;
    } catch {
      return null; // Not up yet.
    }
  }

  async #call(method: string, path: string, body?: object): Promise<unknown> {
    const token = (await readFile(join(this.#parts.dataDir, 'operator.token'), 'utf8')).trim();
    const answer = await fetch(`http://127.0.0.1:${portOf(this.#parts.cloud, 'http')}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}

/** What is judged besides the data. */
export interface Surroundings {
  readonly reportsSent: number;
  /** How agent and cloud ended when they were told to. */
  readonly goodbyes: readonly string[];
  /** Processes that were still there after that. */
  readonly leftBehind: readonly string[];
  /**
   * Ends without a kill, with the last words. The cloud may end so before it is ready, when its database was killed:
   * it says why, and its supervisor starts it again.
   */
  readonly ownEnds: Readonly<Record<'agent' | 'cloud', readonly OwnEnd[]>>;
  readonly failedStarts: number;
  readonly peakMiB: Readonly<Record<'agent' | 'cloud', number>>;
  readonly logs: Readonly<Record<'agent' | 'cloud', readonly string[]>>;
}

function superviseCloud(folder: string, dataDir: string, brokerUrl: string): Supervised {
  const args = ['serve', '--data-dir', dataDir, '--http-port', '0', '--mqtt-port', '0'];
  const env = { DATABASE_URL: '', PADDOCK_BROKER_URL: brokerUrl };
  const launch = programOf('cloud', join(ROOT, 'cloud/bin/paddock.cjs'), args, env);
  return new Supervised((life) => launch(folder, life));
}

function superviseAgent(folder: string, home: string): Supervised {
  const args = ['run', '--config', join(home, 'agent.yaml')];
  const launch = programOf('agent', join(ROOT, 'agent/bin/paddock-agent.cjs'), args, {});
  return new Supervised((life) => launch(folder, life));
}

/** The port that this life of the cloud listens on, as it says when it is ready. */
function portOf(cloud: Supervised, what: 'http' | 'mqtt'): number | null {
  const [, port] = new RegExp(`^${what}: ${what}://127[.]0[.]0[.]1:(\\d+)$`, 'm').exec(cloud.output()) ?? [];
  return port === undefined ? null : Number(port);
}
