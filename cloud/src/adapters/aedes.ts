import { createServer, type Server } from 'node:net';
import { Aedes, type AedesOptions } from 'aedes';
import { MESSAGE_KINDS, parseTopic, topicOf, type ParsedTopic } from '@paddock/shared/topics.ts';
import type { Broker, BrokerEvents, Clock } from '../ports.ts';

export interface EmbeddedBrokerOptions {
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
}

/**
 * The MQTT broker inside the service (MQTT 3.1.1). A client's id is its device id: it publishes to its own
 * upward topics and subscribes to its own downward ones, nothing else. Messages reach us before they are
 * acknowledged, so a held acknowledgement is back-pressure on that one client.
 */
export class EmbeddedBroker implements Broker {
  readonly #options: EmbeddedBrokerOptions;
  #aedes: Aedes | null = null;
  #server: Server | null = null;

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
  }

  /** The port that it listens on; of use when 0 was asked for. */
  get port(): number {
    const address = this.#server?.address();
    return typeof address === 'object' && address !== null ? address.port : this.#options.port;
  }

  async open(events: BrokerEvents): Promise<void> {
    const aedes = await Aedes.createBroker(handlers(events, this.#options.clock));
    this.#aedes = aedes;
    this.#server = createServer({ noDelay: true }, (socket) => void aedes.handle(socket));
    await listening(this.#server, this.#options);
    events.reachable(true);
  }

  async publish(topic: string, payload: string, options: { retain?: boolean } = {}): Promise<void> {
    const aedes = this.#aedes;
    if (aedes === null) throw new Error('The broker is not open');
    const packet = { cmd: 'publish', topic, payload, qos: 1, dup: false, retain: options.retain ?? false } as const;
    await new Promise<void>((resolve, reject) => aedes.publish(packet, (error) => (error ? reject(error) : resolve())));
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#server) this.#server.close(() => resolve());
    else resolve();
    const aedes = this.#aedes;
    if (aedes) await new Promise<void>((closed) => aedes.close(closed));
    await promise;
  }
}

function handlers(events: BrokerEvents, clock: Clock): AedesOptions {
  return {
    authorizePublish: (client, { topic, payload }, done) => {
      // Without a client it is our own message; every other one is stamped before anything else.
      if (client === null) return done(null);
      const receivedAt = clock.wall();
      if (!isOwn(client.id, topic, 'device')) {
        events.foreign(client.id, topic);
        return done(new Error('Not a topic of this client'));
      }
      // As a client of another broker would subscribe: a presence is a hint for whoever listens, and no report.
      if (topic !== topicOf('report', client.id)) return done(null);
      void events.message({ topic, payload: Buffer.from(payload), receivedAt }).then(() => done(null));
    },
    authorizeSubscribe: (client, subscription, done) =>
      done(null, isOwn(client.id, subscription.topic, 'cloud') ? subscription : null),
  };
}

function isOwn(clientId: string, topic: string, from: 'device' | 'cloud'): boolean {
  const parsed = tryParse(topic);
  return parsed !== null && parsed.deviceId === clientId && MESSAGE_KINDS[parsed.kind].from === from;
}

function tryParse(topic: string): ParsedTopic | null {
  try {
    return parseTopic(topic);
  } catch {
    return null;
  }
}

async function listening(server: Server, { host, port }: EmbeddedBrokerOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  server.off('error', reject);
}
