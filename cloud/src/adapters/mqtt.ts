import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { filterOf, RECORDED_KINDS } from '@paddock/shared/topics.ts';
import type { Broker, BrokerEvents, Clock } from '../ports.ts';
import type { ClientTls } from './mqtt-tls.ts';

export interface RemoteBrokerOptions {
  /** `mqtt://[user:password@]host:port` */
  readonly url: string;
  /** Instances of one group share the reports among them. */
  readonly shareGroup: string;
  /** How many connections share them here, too: some brokers carry little on each. By default one. */
  readonly connections?: number;
  readonly clock: Clock;
  /** For `mqtts://`: what we believe and what we show, in PEM: all connections the same, or each its own. */
  readonly tls?: readonly ClientTls[];
}

/**
 * Another broker (Mosquitto, EMQX, HiveMQ), as a client of it. The session is clean and the subscription
 * shared: what a dying instance swallows, the devices send again, and a survivor gets all of it.
 */
export class RemoteBroker implements Broker {
  readonly #options: RemoteBrokerOptions;
  readonly #clients: MqttClient[] = [];
  /** Those that are subscribed. */
  readonly #standing = new Set<MqttClient>();
  #turn = 0;

  constructor(options: RemoteBrokerOptions) {
    this.#options = options;
  }

  /** Resolves before the connection stands: a broker that is away at the start is waited for like any other time. */
  async open(events: BrokerEvents): Promise<void> {
    for (let made = 0; made < (this.#options.connections ?? 1); made++) this.#connect(events, made);
  }

  #connect(events: BrokerEvents, turn: number): void {
    const { url, tls = [] } = this.#options;
    const client = connect(url, { ...connection(), ...tls[turn % tls.length] });
    this.#clients.push(client);
    client.handleMessage = (packet, acknowledge) => {
      const inbound = {
        topic: packet.topic,
        payload: Buffer.from(packet.payload),
        receivedAt: this.#options.clock.wall(),
      };
      void events.message(inbound).then(() => {
        writeTogether(client);
        acknowledge();
      });
    };
    const filters = RECORDED_KINDS.map((kind) => `$share/${this.#options.shareGroup}/${filterOf(kind)}`);
    const subscribe = async () => {
      await client.subscribeAsync(filters, { qos: 1 });
      this.#standing.add(client);
      events.reachable(true);
    };
    const gone = () => {
      this.#standing.delete(client);
      events.reachable(this.#standing.size > 0);
    };
    client.on('connect', () => {
      // Nagle's algorithm would keep an answer back until the acknowledgement before it was acknowledged: 40 ms.
      if (client.stream instanceof Socket) client.stream.setNoDelay(true);
      void subscribe().catch(() => client.reconnect());
    });
    client.on('close', gone);
    client.on('error', gone);
  }

  async publish(topic: string, payload: string, options: { retain?: boolean } = {}): Promise<void> {
    const connected = this.#clients.filter((client) => client.connected);
    // Each in its turn.
    const client = connected[(this.#turn += 1) % connected.length];
    // Not queued: what matters is sent again when it is asked for again.
    if (!client) throw new Error('The broker is not connected');
    await client.publishAsync(topic, payload, { qos: 1, retain: options.retain ?? false });
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.endAsync()));
  }
}

/** Acknowledgements of one turn of the event loop leave in one write: a write each costs more than the rest of it. */
function writeTogether({ stream }: MqttClient): void {
  if (stream.writableCorked > 0) return;
  stream.cork();
  setImmediate(() => stream.uncork());
}

const connection = (): IClientOptions => ({
  clientId: `paddock-cloud-${randomBytes(6).toString('hex')}`,
  protocolVersion: 4,
  clean: true,
  keepalive: 30,
  reconnectPeriod: 1000,
  // Believed is what the broker proves, whatever the URL says: it could switch that off.
  rejectUnauthorized: true,
  resubscribe: false,
});
