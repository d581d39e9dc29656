import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { parser, type Packet } from 'mqtt-packet';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import type { Sql, Store } from '@paddock/cloud/ports.ts';
import { parseAnswer, type Answer } from '@paddock/shared/answer.ts';
import { parseDesired, type Desired } from '@paddock/shared/desired.ts';
import { openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import type { Report } from '@paddock/shared/report.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import type { Meeting } from './brokers.ts';
import { reportOf } from './reports.ts';
import { makeTestKey, type TestKey } from './signing.ts';

/** The public part of a test's key. */
type PublicKey = Pick<TestKey, 'publicJwk'> & {
  readonly verification: Pick<TestKey['verification'], 'thumbprint' | 'keyId'>;
};

/** Registers devices straight in the database, for tests that are not about registration. */
export async function addDevices(
  store: Store,
  devices: readonly { readonly deviceId: string; readonly key: PublicKey }[],
): Promise<void> {
  await store.transaction(async (sql: Sql) => {
    await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
    await sql.query(
      `INSERT INTO devices (device_id, customer_id, name) SELECT id, 'default', id FROM unnest($1::text[]) AS id`,
      [devices.map(({ deviceId }) => deviceId)],
    );
    await sql.query(
      `INSERT INTO device_keys (device_id, thumbprint, key_id, jwk)
       SELECT device_id, thumbprint, key_id, jwk FROM json_to_recordset($1)
         AS k (device_id text, thumbprint text, key_id text, jwk jsonb)`,
      [
        JSON.stringify(
          devices.map(({ deviceId, key: { verification, publicJwk } }) => ({
            device_id: deviceId,
            thumbprint: verification.thumbprint,
            key_id: verification.keyId,
            jwk: publicJwk,
          })),
        ),
      ],
    );
  });
}

/** The connection of a device. @param to as `TestDevice.connect` */
export async function dial(deviceId: string, to: string | Meeting, more: IClientOptions = {}): Promise<MqttClient> {
  const [url, credentials] = typeof to === 'string' ? [to, null] : [to.url, await to.credentials(deviceId)];
  return connectAsync(url, { clientId: deviceId, protocolVersion: 4, clean: true, ...credentials, ...more });
}

/** A device of the test: real keys, real signatures, a real connection. */
export class TestDevice {
  readonly deviceId: string;
  readonly key: TestKey;
  readonly answers: Answer[] = [];
  /** What came on its `desired` topic; null is the message that takes away what was retained. */
  readonly desired: (Desired | null)[] = [];
  readonly #cloudKey: TestKey;
  #client: MqttClient | null = null;
  #waiting: (() => void)[] = [];
  readonly #opening = new Set<Promise<void>>();

  constructor(deviceId: string, key: TestKey, cloudKey: TestKey) {
    this.deviceId = deviceId;
    this.key = key;
    this.#cloudKey = cloudKey;
  }

  static async register(store: Store, deviceId: string, cloudKey: TestKey): Promise<TestDevice> {
    const device = new TestDevice(deviceId, await makeTestKey(), cloudKey);
    await device.enrol(store);
    return device;
  }

  async enrol(store: Store): Promise<void> {
    await addDevices(store, [{ deviceId: this.deviceId, key: this.key }]);
  }

  /** @param to where it needs no certificate, or where it gets one */
  async connect(to: string | Meeting): Promise<this> {
    const client = await dial(this.deviceId, to);
    this.#client = client;
    this.#listen();
    client.on('connect', () => this.#listen());
    await client.subscribeAsync([topicOf('answer', this.deviceId), topicOf('desired', this.deviceId)], { qos: 1 });
    return this;
  }

  seal(fields: Partial<Report> = {}): Promise<string> {
    return seal('report', reportOf({ device: this.deviceId, ...fields }), this.key.signing, deflater);
  }

  /** Sends an envelope, or anything else, as it is. */
  async publish(payload: string | Buffer, topic: string = topicOf('report', this.deviceId)): Promise<void> {
    if (this.#client === null) throw new Error('Not connected');
    await this.#client.publishAsync(topic, payload, { qos: 1 });
  }

  async report(fields: Partial<Report> = {}): Promise<string> {
    const envelope = await this.seal(fields);
    await this.publish(envelope);
    return envelope;
  }

  /** Waits until an answer fits; verified ones only. */
  async answer(fits: (answer: Answer) => boolean): Promise<Answer> {
    for (;;) {
      const found = this.answers.find(fits);
      if (found) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Waits until desired state fits; verified only. */
  async desires(fits: (desired: Desired) => boolean): Promise<Desired> {
    for (;;) {
      const found = this.desired.find((one) => one !== null && fits(one));
      if (found) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Waits until the other side has closed the connection, and all that came over it before is in `answers`. */
  async heardOut(): Promise<void> {
    const client = this.#client;
    if (client?.connected) await new Promise<void>((closed) => client.once('close', closed));
    await Promise.all(this.#opening);
  }

  async close(): Promise<void> {
    await this.#client?.endAsync(true);
  }

  /** To the connection itself: the library forgets what it has read and not handed out when that closes. */
  #listen(): void {
    const reader = parser();
    this.#client?.stream.on('data', (chunk: Buffer) => reader.parse(chunk));
    reader.on('packet', (packet: Packet) => {
      if (packet.cmd !== 'publish') return;
      const jws = packet.payload.toString();
      const opening = this.#onMessage(packet.topic, jws).finally(() => this.#opening.delete(opening));
      this.#opening.add(opening);
    });
  }

  async #onMessage(topic: string, jws: string): Promise<void> {
    const open = () => openEnvelope(parseEnvelope(jws), this.#cloudKey.verification, inflater);
    if (topic === topicOf('answer', this.deviceId)) this.answers.push(parseAnswer(await open()));
    else this.desired.push(jws === '' ? null : parseDesired(await open()));
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }
}
