import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { makeTestKey } from '../signing.ts';
import { TestBroker } from './broker.ts';
import { agent, newHome, startAgent, type Ended, type Running } from './cli.ts';
import { FakeCloud, type Received } from './fake-cloud.ts';

const DEVICE = 'kiosk-0001';

/** A registered agent as a process of its own, with a broker, and a cloud that answers unless it is told not to. */
export class AnsweredKiosk {
  readonly home: string;
  readonly broker: TestBroker;
  readonly cloud: FakeCloud;
  isAnswering = true;
  #running: Running | null = null;

  private constructor(home: string, broker: TestBroker, cloud: FakeCloud) {
    this.home = home;
    this.broker = broker;
    this.cloud = cloud;
  }

  /** @param yaml is added to the configuration that `init` makes */
  static async prepare(yaml: string): Promise<AnsweredKiosk> {
    const broker = await TestBroker.start();
    const home = newHome();
    const { out } = await agent(home, 'init', '--device', DEVICE, '--url', broker.url, '--json');
    const { publicKey } = JSON.parse(out) as { publicKey: Parameters<typeof importVerificationKey>[0] };
    const device = { ...(await makeTestKey()), verification: await importVerificationKey(publicKey) };
    const cloud = await FakeCloud.create(device);
    cloud.now = () => wallMs(Date.now());
    writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify({ keys: [cloud.key.publicJwk] }));
    appendFileSync(join(home, 'agent.yaml'), `\n${yaml}\n`);
    const kiosk = new AnsweredKiosk(home, broker, cloud);
    broker.aedes.on('publish', ({ topic, payload }) => {
      if (topic === topicOf('report', DEVICE)) void kiosk.#answer(payload.toString());
    });
    return kiosk;
  }

  get received(): readonly Received[] {
    return this.cloud.received;
  }

  start(): Running {
    this.#running = startAgent(this.home, 'run');
    return this.#running;
  }

  /** @returns how it ended */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<Ended | null> {
    const running = this.#running;
    this.#running = null;
    running?.child.kill(signal);
    return running?.ended ?? null;
  }

  async close(): Promise<void> {
    await this.end('SIGKILL');
    await this.broker.stop();
  }

  async #answer(envelope: string): Promise<void> {
    const received = await this.cloud.receive(envelope, { record: this.isAnswering });
    if (received.report.ask === undefined || !this.isAnswering) return;
    const payload = await this.cloud.answer(received);
    const packet = { cmd: 'publish', qos: 1, dup: false, retain: false, topic: topicOf('answer', DEVICE) } as const;
    this.broker.aedes.publish({ ...packet, payload }, () => {});
  }
}
