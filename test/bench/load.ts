import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { generate, parser, type Packet } from 'mqtt-packet';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { seal } from '@paddock/shared/envelope.ts';
import type { Report } from '@paddock/shared/report.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { typicalReport } from '../harness/samples.ts';
import { makeTestKey, type TestKey } from '../harness/signing.ts';

export interface LoadDevice {
  readonly deviceId: string;
  readonly key: TestKey;
}

/** Reports that are on their way at once on one connection: what a broker allows by default. */
const IN_FLIGHT = 20;
/** One routine report in six asks for an answer. */
const ASK_EVERY = 6;

export async function makeDevices(count: number): Promise<LoadDevice[]> {
  const ids = Array.from({ length: count }, (_, n) => `bench-${String(n).padStart(4, '0')}`);
  return Promise.all(ids.map(async (deviceId) => ({ deviceId, key: await makeTestKey() })));
}

/** Signs what a device with 20 sensors reports at 5 minutes' distance: values move, contacts change now and then. */
export async function signReports({ deviceId, key }: LoadDevice, count: number, start: number): Promise<string[]> {
  const reports = Array.from({ length: count }, (_, sequence) => {
    const readings = Object.entries(typicalReport.readings).map(([name, reading], n) => {
      const value =
        typeof reading.value === 'number'
          ? Math.round(reading.value * (100 + ((sequence * 7 + n) % 13))) / 100
          : reading.value;
      return [name, { ...reading, value }] as const;
    });
    const report: Report = {
      ...typicalReport,
      device: deviceId,
      start,
      sequence,
      boot: { id: `${deviceId}-boot-${start}` },
      uptimeMs: 100_000 + sequence * 300_000,
      readings: Object.fromEntries(readings),
      ...(sequence % ASK_EVERY === 0 && { ask: Buffer.from(`${sequence}`.padStart(8)).toString('base64url') }),
    };
    return seal('report', report, key.signing, deflater);
  });
  return Promise.all(reports);
}

/** One device on a raw MQTT connection: cheap enough that the load is not what is measured. */
export class LoadConnection {
  readonly #socket: Socket;
  readonly #deviceId: string;
  readonly #waiting: ((packet: Packet) => void)[] = [];
  #acknowledged = 0;
  #onAcknowledged: () => void = () => undefined;
  wireBytes = 0;
  answers = 0;

  private constructor(socket: Socket, deviceId: string) {
    this.#socket = socket;
    this.#deviceId = deviceId;
    const incoming = parser();
    incoming.on('packet', (packet) => this.#receive(packet));
    socket.on('data', (chunk) => incoming.parse(chunk));
  }

  static async open(port: number, deviceId: string): Promise<LoadConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const connection = new LoadConnection(socket, deviceId);
    await connection.#ask({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: deviceId,
      keepalive: 0,
    });
    const topic = topicOf('answer', deviceId);
    await connection.#ask({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    return connection;
  }

  /** Publishes all of them, a bounded number at once, and resolves when the last is acknowledged. */
  async publishAll(envelopes: readonly string[]): Promise<void> {
    const topic = topicOf('report', this.#deviceId);
    let sent = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#acknowledged = 0;
    this.#onAcknowledged = () => {
      for (; sent < envelopes.length && sent - this.#acknowledged < IN_FLIGHT; sent++)
        this.#publish(topic, envelopes[sent] ?? '', (sent % 60_000) + 2);
      if (this.#acknowledged === envelopes.length) resolve();
    };
    this.#onAcknowledged();
    await promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #publish(topic: string, payload: string, messageId: number): void {
    const packet = generate({ cmd: 'publish', topic, payload, qos: 1, messageId, dup: false, retain: false });
    this.wireBytes += packet.length;
    this.#socket.write(packet);
  }

  async #ask(packet: Packet): Promise<void> {
    this.#socket.write(generate(packet));
    await new Promise<Packet>((resolve) => this.#waiting.push(resolve));
  }

  #receive(packet: Packet): void {
    if (packet.cmd === 'puback') {
      this.#acknowledged += 1;
      this.#onAcknowledged();
    } else if (packet.cmd === 'publish') {
      this.answers += 1;
      this.#socket.write(generate({ cmd: 'puback', messageId: packet.messageId ?? 0 }));
    } else this.#waiting.shift()?.(packet);
  }
}
