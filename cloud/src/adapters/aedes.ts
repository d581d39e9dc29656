import type { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes, type AedesOptions } from 'aedes';
import { isDeviceId, MESSAGE_KINDS, parseTopic, topicOf, type ParsedTopic } from '@paddock/shared/topics.ts';
import type { Broker, BrokerEvents, Clock } from '../ports.ts';
import { PacketBudget, PacketGuard } from './aedes-packet-guard.ts';

export interface EmbeddedBrokerOptions {
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  /** Connections at once; one more is closed at once. */
  readonly maxConnections?: number;
  /** What goes wrong and ends nothing: accepting for want of file descriptors, the broker's own bookkeeping. */
  readonly log?: (message: string, error: unknown) => void;
}

const MAX_CONNECTIONS = 20_000;
/** Connections that wait to be accepted: a fleet comes back at once, and Node's 511 would turn it away for seconds. */
const BACKLOG = 4_096;
const LIMITS = {
  /** Until a connection says who it is, and until one that does not read is given up, in ms. */
  connectTimeout: 10_000,
  drainTimeout: 10_000,
  /** The protocol knows QoS 1 only: few half-open QoS 2 messages of a client are kept. */
  maxInflightInbound: 16,
  // Unbounded: past a bound its emitter queues, and works the queue off by calling itself. A few thousand reports in a
  // row, which nobody subscribes to, would overflow the stack and end the service. What waits is bounded by the ingest.
  concurrency: 0,
} as const satisfies AedesOptions;
/** CONNACK, identifier rejected (MQTT 3.1.1, section 3.2.2.3). */
const IDENTIFIER_REJECTED = 2;

/**
 * The MQTT broker inside the service (MQTT 3.1.1). A client's id is its device id: it publishes to its own
 * upward topics and subscribes to its own downward ones, nothing else. Messages reach us before they are
 * acknowledged, so a held acknowledgement is back-pressure on that one client.
 */
export class EmbeddedBroker implements Broker {
  readonly #options: EmbeddedBrokerOptions;
  #aedes: Aedes | null = null;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();
  readonly #budget = new PacketBudget();

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
    const emitter: EventEmitter = aedes;
    // Without their listeners this and the server's errors would end the process.
    emitter.on('error', (error: unknown) => this.#options.log?.('The broker failed at something', error));
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(aedes, socket, events));
    this.#server.maxConnections = this.#options.maxConnections ?? MAX_CONNECTIONS;
    await listening(this.#server, this.#options);
    this.#server.on('error', (error) => this.#options.log?.('A connection could not be accepted', error));
    events.reachable(true);
  }

  #serve(aedes: Aedes, socket: Socket, events: BrokerEvents): void {
    const client = aedes.handle(socket);
    const guard = new PacketGuard(this.#budget);
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      guard.end();
    });
    // Called by read(), before the broker's parser gets the bytes: the broker reads when it can ('readable' leads).
    socket.on('data', (chunk: Buffer) => {
      if (socket.destroyed || guard.admit(chunk)) return;
      events.oversized(client.id);
      socket.destroy();
    });
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
    // The broker knows those that said who they are; the server waits for all.
    for (const socket of this.#sockets) socket.destroy();
    await promise;
  }
}

function handlers(events: BrokerEvents, clock: Clock): AedesOptions {
  return {
    ...LIMITS,
    preConnect: (_client, packet, done) => {
      // Sessions are clean (docs/protocol.md, section 2): nothing waits in memory for who may never come.
      packet.clean = true;
      const { clientId, will } = packet;
      if (will === undefined || isOwn(clientId, will.topic, 'device')) return done(null, true);
      events.foreign(clientId, will.topic);
      done(new Error('The will is not on a topic of this client'), false);
    },
    authenticate: ({ id }, _user, _password, done) =>
      isDeviceId(id) ? done(null, true) : done(identifierRejected(), false),
    authorizePublish: (client, packet, done) => {
      const { topic, payload } = packet;
      // Without a client it is our own message; every other one is stamped before anything else.
      if (client === null) return done(null);
      const receivedAt = clock.wall();
      const isReport = topic === topicOf('report', client.id);
      if (!isReport && !isOwn(client.id, topic, 'device')) {
        events.foreign(client.id, topic);
        return done(new Error('Not a topic of this client'));
      }
      // Nobody may subscribe to what devices say, so that kept it would only fill the memory.
      packet.retain = false;
      // As a client of another broker would subscribe: a presence is a hint for whoever listens, and no report.
      if (!isReport) return done(null);
      void events.message({ topic, payload: Buffer.from(payload), receivedAt }).then(() => done(null));
    },
    authorizeSubscribe: (client, subscription, done) =>
      done(null, isOwn(client.id, subscription.topic, 'cloud') ? subscription : null),
  };
}

const identifierRejected = () =>
  Object.assign(new Error('The client id is not a device id'), { returnCode: IDENTIFIER_REJECTED });

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
  server.listen({ port, host, backlog: BACKLOG }, resolve);
  await promise;
  server.off('error', reject);
}
