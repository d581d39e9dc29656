import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { generate, type Packet } from 'mqtt-packet';
import { topicOf } from '@paddock/shared/topics.ts';

/** Reports that are on their way at once on one connection: what a broker allows by default. */
const IN_FLIGHT = 20;
/** MQTT 3.1.1, section 2.2.1. */
const TYPE = { publish: 3, puback: 4 } as const;

/** Packets of one device's reports, made before anything is measured. */
export const reportPackets = (deviceId: string, envelopes: readonly string[]): Buffer[] =>
  envelopes.map((payload, n) => {
    const fixed = { cmd: 'publish', qos: 1, dup: false, retain: false } as const;
    return generate({ ...fixed, topic: topicOf('report', deviceId), payload, messageId: (n % 60_000) + 2 });
  });

/** One device on a raw MQTT connection, which reads no more of a packet than it needs: the load is not what is measured. */
export class LoadConnection {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #answered: () => void = () => undefined;
  #acknowledged = 0;
  #onAcknowledged: () => void = () => undefined;
  answers = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
  }

  static async open(port: number, deviceId: string): Promise<LoadConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const connection = new LoadConnection(socket);
    const session = { protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 } as const;
    await connection.#ask({ cmd: 'connect', clientId: deviceId, ...session });
    const topic = topicOf('answer', deviceId);
    await connection.#ask({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    return connection;
  }

  /** Publishes all of them, a bounded number at once, and resolves when the last is acknowledged. */
  async publishAll(packets: readonly Buffer[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let sent = 0;
    this.#acknowledged = 0;
    this.#onAcknowledged = () => {
      const upTo = Math.min(packets.length, this.#acknowledged + IN_FLIGHT);
      if (upTo > sent) this.#socket.write(Buffer.concat(packets.slice(sent, upTo)));
      sent = Math.max(sent, upTo);
      if (this.#acknowledged === packets.length) resolve();
    };
    this.#onAcknowledged();
    await promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #ask(packet: Packet): Promise<void> {
    this.#socket.write(generate(packet));
    await new Promise<void>((resolve) => (this.#answered = resolve));
  }

  /** Follows the packets from fixed header to fixed header (MQTT 3.1.1, section 2.2). */
  #read(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const before = this.#acknowledged;
    let at = 0;
    for (let end = packetEnd(bytes, at); end !== null && end <= bytes.length; end = packetEnd(bytes, at)) {
      this.#take(bytes.subarray(at, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
    if (this.#acknowledged > before) this.#onAcknowledged();
  }

  #take(packet: Buffer): void {
    const type = (packet[0] ?? 0) >> 4;
    if (type === TYPE.puback) this.#acknowledged += 1;
    else if (type === TYPE.publish) this.#acknowledge(packet);
    else this.#answered();
  }

  #acknowledge(publish: Buffer): void {
    this.answers += 1;
    const topicAt = publish.findIndex((byte, at) => at > 0 && byte < 0x80) + 1;
    const idAt = topicAt + 2 + publish.readUInt16BE(topicAt);
    this.#socket.write(generate({ cmd: 'puback', messageId: publish.readUInt16BE(idAt) }));
  }
}

/** @returns where the packet ends that begins there, or null while its length is not known */
function packetEnd(bytes: Buffer, start: number): number | null {
  for (let at = start + 1, length = 0, shift = 0; at < bytes.length; at++, shift += 7) {
    const byte = bytes[at] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return at + 1 + length;
  }
  return null;
}
