import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { TestBroker } from './broker.ts';
import { FakeCloud, type Received } from './fake-cloud.ts';
import { makeTestKey } from '../signing.ts';
import { startKioskHardware, type KioskHardware } from './kiosk-hardware.ts';

/** Often enough to see many reports in a run; the default is every five minutes. */
const SCHEDULE = '*/10 * * * * *';

/** One real agent on hardware of its own, registered with a broker and a cloud that answers. */
export class KioskProcess {
  readonly hardware: KioskHardware;
  readonly received: Received[];
  readonly cloud: FakeCloud;
  readonly #launcher: string;
  readonly #home: string;
  #child: ChildProcess | null = null;

  private constructor(launcher: string, home: string, hardware: KioskHardware, cloud: FakeCloud) {
    this.#launcher = launcher;
    this.#home = home;
    this.hardware = hardware;
    this.cloud = cloud;
    this.received = cloud.received;
  }

  /**
   * @param launcher the program that is started: that of the sources, or that of the bundle
   * @param more lines of its configuration
   */
  static async prepare(
    launcher: string,
    device: string,
    broker: TestBroker,
    more: readonly string[] = [],
  ): Promise<KioskProcess> {
    const home = await mkdtemp(join(tmpdir(), 'paddock-bench-'));
    const init = ['init', '--device', device, '--url', broker.url, '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [launcher, ...init], { cwd: home });
    const { publicKey } = JSON.parse(stdout) as { publicKey: Parameters<typeof importVerificationKey>[0] };
    const verification = await importVerificationKey(publicKey);
    const cloud = await FakeCloud.create({ ...(await makeTestKey()), verification });
    cloud.now = () => wallMs(Date.now());
    await writeFile(join(home, 'cloud-keys.json'), JSON.stringify({ keys: [cloud.key.publicJwk] }));
    const hardware = startKioskHardware();
    const basics = [
      `device: ${device}`,
      `cloud: { url: ${broker.url} }`,
      `report: { schedule: '${SCHEDULE}' }`,
      'log: { level: warn }',
    ];
    await writeFile(join(home, 'agent.yaml'), [...basics, ...more, hardware.sensing].join('\n'));
    answerReports(broker, device, cloud);
    return new KioskProcess(launcher, home, hardware, cloud);
  }

  /** @returns ms until the first report was at the broker */
  async start(): Promise<number> {
    const before = this.received.length;
    const began = performance.now();
    // As it is started on a kiosk: the launcher's first line says with which flags of V8.
    const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;
    this.#child = spawn(this.#launcher, ['run'], {
      cwd: this.#home,
      env: { ...process.env, PATH },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    while (this.received.length === before) {
      if (this.#child.exitCode !== null) throw new Error(`the agent ended with ${this.#child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return performance.now() - began;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }

  async remove(): Promise<void> {
    await this.stop();
    this.hardware.close();
    await rm(this.#home, { recursive: true, force: true });
  }
}

/** As much of the cloud as it takes to keep the agent's outbox empty. */
function answerReports(broker: TestBroker, device: string, cloud: FakeCloud): void {
  const answer = async (envelope: string): Promise<void> => {
    const received = await cloud.receive(envelope);
    if (received.report.ask === undefined) return;
    const payload = await cloud.answer(received);
    const packet = { cmd: 'publish', qos: 1, dup: false, retain: false, topic: topicOf('answer', device) } as const;
    broker.aedes.publish({ ...packet, payload }, () => {});
  };
  broker.aedes.on('publish', ({ topic, payload }) => {
    if (topic === topicOf('report', device)) void answer(payload.toString());
  });
}
