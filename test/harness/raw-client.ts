import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, parser, type IConnectPacket, type Packet } from 'mqtt-packet';

/** A client that keeps no rule: bytes out, packets in. */
export class RawClient {
  readonly packets: Packet[] = [];
  readonly closed: Promise<unknown>;
  readonly #socket: Socket;
  #why: ErrorOptions = {};

  /** @param socket being connected, plain or with TLS */
  constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((closed) => this.#socket.on('close', closed));
    this.#socket.on('error', (cause) => void (this.#why = { cause }));
    const reader = parser();
    reader.on('packet', (packet: Packet) => this.packets.push(packet));
    this.#socket.on('data', (chunk) => reader.parse(chunk));
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  async send(packet: Packet): Promise<void> {
    await new Promise<void>((sent) => this.#socket.write(generate(packet), () => sent()));
  }

  /** Waits for it. @throws when the connection ends without it */
  async next(cmd: Packet['cmd']): Promise<Packet> {
    for (;;) {
      const found = this.packets.find((packet) => packet.cmd === cmd);
      if (found) return found;
      if (this.#socket.closed) throw new Error(`Closed before ${cmd}, after ${this.packets.length} packets`, this.#why);
      await sleep(5);
    }
  }

  async hello(clientId: string, fields: Partial<IConnectPacket> = {}): Promise<this> {
    await this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId,
      ...fields,
    });
    return this;
  }

  subscribe(...topics: string[]): Promise<void> {
    const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
    return this.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  }

  publish(topic: string, payload: string | Buffer, more: { retain?: boolean; qos?: 0 | 1 | 2 } = {}): Promise<void> {
    const { retain = false, qos = 1 } = more;
    return this.send({ cmd: 'publish', topic, payload, qos, dup: false, retain, messageId: 7 });
  }

  end(): void {
    this.#socket.destroy();
  }
}
