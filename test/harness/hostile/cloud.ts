import type { Report } from '@paddock/shared/report.ts';
import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { TestBroker } from '../agent/broker.ts';
import { FakeCloud, type Received } from '../agent/fake-cloud.ts';
import { FakeEnrolment } from '../agent/fake-enrolment.ts';
import { UpdateRepository } from '../agent/update-device.ts';
import { makeTestKey, type TestKey } from '../signing.ts';
import { EPOCH } from '../tuf/simulator.ts';
import { RepositoryServer } from './repository-server.ts';

const HOUR_MS = 3_600_000;
const MODEL = 'demo-cp22';

/**
 * What one kiosk sees of a cloud, over real TLS: enrolment, broker, answers, desired state, and the repository of
 * firmware. It lives in a time of its own, in which everything that is signed here is fresh.
 */
export class HostileCloud {
  readonly enrolment: FakeEnrolment;
  readonly broker: TestBroker;
  readonly server: RepositoryServer;
  readonly reports: Report[] = [];
  /** What answers, and desired state, are signed with. */
  key: TestKey;
  /** Of the list of keys, once answers are to name it. */
  keyList: number | undefined;
  /** What is sent in place of an answer; null: nothing. */
  falsify: (answer: string) => string | null = (answer) => answer;
  #cloud: FakeCloud | null = null;
  #version = 0;
  #jumpedMs = 0;
  readonly #began = performance.now();

  private constructor(enrolment: FakeEnrolment, broker: TestBroker, repository: UpdateRepository) {
    this.enrolment = enrolment;
    this.broker = broker;
    this.server = new RepositoryServer(repository);
    this.key = enrolment.online;
    enrolment.now = this.now;
    enrolment.mqttUrl = broker.url;
    enrolment.firmware = this.server.listener;
    broker.aedes.on('publish', ({ topic, payload }) => {
      if (topic === topicOf('report', enrolment.device)) void this.#hear(payload.toString());
    });
  }

  static async open(repository = new UpdateRepository()): Promise<HostileCloud> {
    const enrolment = await FakeEnrolment.start();
    const { own, authority } = enrolment;
    const broker = await TestBroker.start(0, { key: own.keyPem, cert: own.pem + authority.pem });
    await enrolment.publish({ firmwareRoot: repository.firstRoot });
    return new HostileCloud(enrolment, broker, repository);
  }

  readonly now = (): WallMs => wallMs(EPOCH + HOUR_MS + this.#jumpedMs + Math.floor(performance.now() - this.#began));

  /** As metadata say when they expire. */
  expiresIn(seconds: number): string {
    return toInstant(wallMs(this.now() + seconds * 1000)).replace(/\.\d{3}Z$/, 'Z');
  }

  /** An hour passes at once: while the agent does not run, or it would have to notice. */
  jump(): void {
    this.#jumpedMs += HOUR_MS;
  }

  get repository(): UpdateRepository {
    return this.server.repository;
  }

  get claim(): string {
    return this.enrolment.claim({ model: MODEL });
  }

  /**
   * @param firmware every call is other desired state, so that the kiosk looks at once; null: none
   * @param key whose signature it carries
   * @returns its version
   */
  async desire(firmware: Partial<DesiredFirmware> | null, key = this.key): Promise<number> {
    const { device } = this.enrolment;
    this.#version += 1;
    const state = firmware === null ? {} : { firmware: { ...firmware, bytesPerSecond: 100_000_000 + this.#version } };
    const payload = {
      v: 1,
      device,
      incarnation: this.reports.at(-1)?.incarnation,
      epoch: 0,
      version: this.#version,
      issuedAt: toInstant(this.now()),
      expiresAt: toInstant(wallMs(this.now() + HOUR_MS)),
      state,
    };
    this.#publish('desired', await seal('desired', payload, key.signing), true);
    return this.#version;
  }

  /** From now on another key signs; the list of keys leaves the one before out. @returns that one */
  async changeKey(): Promise<TestKey> {
    const before = this.key;
    this.key = await makeTestKey();
    this.#cloud = null;
    this.enrolment.answerKey = this.key;
    await this.enrolment.publish({ keys: [this.key.publicJwk], firmwareRoot: this.repository.firstRoot });
    this.keyList = this.enrolment.lists.length;
    return before;
  }

  async close(): Promise<void> {
    await this.broker.stop();
    await this.enrolment.stop();
  }

  async #hear(envelope: string): Promise<void> {
    const [{ jwk } = { jwk: {} }] = this.enrolment.requests.slice(-1);
    const { signing, publicJwk, privateJwk } = this.key;
    const device = { signing, publicJwk, privateJwk, verification: await importVerificationKey(jwk) };
    this.#cloud ??= Object.assign(new FakeCloud(this.key, device), { now: this.now });
    const received = await this.#cloud.receive(envelope);
    this.reports.push(received.report);
    if (received.report.ask !== undefined) await this.#answer(this.#cloud, received);
  }

  async #answer(cloud: FakeCloud, received: Received): Promise<void> {
    const { keyList } = this;
    const desired = { epoch: 0, version: this.#version };
    const answer = await cloud.answer(received, { desired, ...(keyList !== undefined && { keyList }) });
    const said = this.falsify(answer);
    if (said !== null) this.#publish('answer', said, false);
  }

  #publish(kind: 'answer' | 'desired', payload: string, retain: boolean): void {
    const topic = topicOf(kind, this.enrolment.device);
    this.broker.aedes.publish({ cmd: 'publish', qos: 1, dup: false, retain, topic, payload }, () => {});
  }
}
