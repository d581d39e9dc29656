import type { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes, type Client } from 'aedes';
import type { Admission, Broker, BrokerClient, BrokerEvents, Clock, TlsIdentity } from '../ports.ts';
import type { PacketBreach } from './aedes-packet-guard.ts';
import { Arrivals } from './aedes/arrivals.ts';
import { CLIENT_LIMITS, handlers, type ClientLimits } from './aedes/handlers.ts';
import { GuardedSocket } from './aedes/guarded-socket.ts';
import { PacketBudget } from './aedes/packet-budget.ts';
import type { TlsPeer } from './aedes/peer.ts';
import { TlsListener, type TlsListenerOptions } from './aedes/tls.ts';
import { clientOf, tellFailure, type Visitor } from './aedes/visitor.ts';

export interface BrokerLimits extends ClientLimits {
  /** Connections at once on each of the two ports; one more is closed at once. */
  readonly connections: number;
  /** From the first byte of a packet to its last. */
  readonly packetMs: number;
}

export interface EmbeddedBrokerOptions {
  /** Where plain MQTT is taken; a null port is none. */
  readonly host: string;
  readonly port: number | null;
  /** MQTT over mutual TLS. */
  readonly tls?: TlsListenerOptions;
  /** Whom the database lets in. */
  readonly admission?: Admission;
  readonly clock: Clock;
  readonly limits?: Partial<BrokerLimits>;
  /** What goes wrong and ends nothing: accepting for want of file descriptors, the broker's own bookkeeping. */
  readonly log?: (message: string, error: unknown) => void;
}

/** The slowest link that gets an envelope of 64 KiB through carries about 1 kB a second. */
const LIMITS: BrokerLimits = { ...CLIENT_LIMITS, connections: 20_000, packetMs: 60_000 };
const LOOK_EVERY_MS = 1_000;
/** What clients get to read the last of what was sent to them. */
const FAREWELL_MS = 1_000;
/** Connections that wait to be accepted: a fleet comes back at once, and Node's 511 would turn it away for seconds. */
const BACKLOG = 4_096;

interface Served {
  readonly guarded: GuardedSocket;
  readonly who: () => BrokerClient;
}

const NOBODY: Visitor = { peer: null, address: null };
/** Without somebody who knows better, whoever comes may stay. */
const EVERYBODY: Admission = { admit: async () => null, gone: () => undefined };

/**
 * The MQTT broker inside the service (MQTT 3.1.1). A client's id is its device id: it publishes to its own
 * upward topics and subscribes to its own downward ones, nothing else. Messages reach us before they are
 * acknowledged, so a held acknowledgement is back-pressure on that one client.
 */
export class EmbeddedBroker implements Broker {
  readonly #options: EmbeddedBrokerOptions;
  readonly #limits: BrokerLimits;
  #aedes: Aedes | null = null;
  #plain: Server | null = null;
  #tls: TlsListener | null = null;
  readonly #visitors = new WeakMap<object, Visitor>();
  readonly #served = new Map<Socket, Served>();
  readonly #budget = new PacketBudget();
  readonly #arrivals = new Arrivals();
  readonly #closing = new AbortController();

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
  }

  /** The port that it listens on for plain MQTT; of use when 0 was asked for. */
  get port(): number {
    return portOf(this.#plain) ?? this.#options.port ?? 0;
  }

  /** The same for MQTT over TLS. */
  get tlsPort(): number {
    return portOf(this.#tls?.server) ?? this.#options.tls?.port ?? 0;
  }

  async open(events: BrokerEvents): Promise<void> {
    const { clock, admission = EVERYBODY, host, port, tls } = this.#options;
    const limits = this.#limits;
    const visitorOf = ({ conn }: Client): Visitor => this.#visitors.get(conn) ?? NOBODY;
    const aedes = await Aedes.createBroker(handlers({ events, clock, admission, limits, visitorOf }));
    this.#aedes = aedes;
    const emitter: EventEmitter = aedes;
    // Without their listeners this and the servers' errors would end the process.
    emitter.on('error', (error: unknown) => this.#options.log?.('The broker failed at something', error));
    // It says so for each message that could not be written, too.
    const ended = new WeakSet<Client>();
    const end = (client: Client, error: Error): void => {
      if (!ended.has(client)) tellFailure(events, clientOf(visitorOf(client), client.id), error);
      ended.add(client);
    };
    aedes.on('connectionError', end);
    aedes.on('clientError', end);
    if (port !== null) {
      this.#plain = createServer({ noDelay: true }, (socket) => {
        this.#serve(aedes, socket, { peer: null, address: socket.remoteAddress ?? null }, events);
      });
      this.#plain.maxConnections = limits.connections;
      await this.#listen(this.#plain, host, port, events);
    }
    if (tls !== undefined) {
      const serve = (socket: Socket, peer: TlsPeer): void =>
        this.#serve(aedes, socket, { peer, address: peer.address }, events);
      this.#tls = new TlsListener(tls, { events, maxConnections: limits.connections, serve });
      await this.#listen(this.#tls.server, tls.host, tls.port, events);
    }
    void this.#endSlowSenders(events);
    events.reachable(true);
  }

  /** A new certificate for TLS connections to come. */
  renew(identity: TlsIdentity): void {
    this.#tls?.renew(identity);
  }

  /** Whose client certificates are good from now on, in PEM: who shows one of others is closed. */
  believe(authorityPem: string): void {
    this.#tls?.believe(authorityPem);
  }

  async #listen(server: Server, host: string, port: number, events: BrokerEvents): Promise<void> {
    await listening(server, host, port);
    server.on('error', (error) => this.#options.log?.('A connection could not be accepted', error));
    server.on('drop', (dropped) => {
      const address = dropped?.remoteAddress ?? null;
      events.refusedConnection('connections_too_many', { clientId: null, deviceId: null, address });
    });
  }

  #serve(aedes: Aedes, socket: Socket, visitor: Visitor, events: BrokerEvents): void {
    const arrived = this.#arrivals.enter(visitor.peer?.deviceId ?? null);
    if (arrived === null) {
      // What it still sends fails, and nobody else listens.
      socket.on('error', () => undefined);
      events.refusedConnection('device_too_many', clientOf(visitor, null));
      return void socket.destroy();
    }
    this.#visitors.set(socket, visitor);
    // Its type knows no null, which it is until the client has said who it is.
    const who = (): BrokerClient => clientOf(visitor, client.id);
    const breached = (breach: PacketBreach): void => {
      if (breach === 'too_large') events.oversized(who());
      else events.refusedConnection('mqtt_invalid', who());
      socket.destroy();
    };
    const guarded = new GuardedSocket(socket, { budget: this.#budget, clock: this.#options.clock, breached });
    this.#served.set(socket, { guarded, who });
    socket.on('close', () => {
      this.#served.delete(socket);
      arrived();
    });
    const client = aedes.handle(socket);
    client.on('connected', () => {
      arrived();
      guarded.letIn(client.id);
    });
  }

  /** A keep-alive bounds who says nothing, not who says something that never ends. */
  async #endSlowSenders(events: BrokerEvents): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await clock.sleep(Math.min(LOOK_EVERY_MS, this.#limits.packetMs), signal);
      const now = clock.monotonic();
      for (const [socket, { guarded, who }] of this.#served)
        if (guarded.isLate(now, this.#limits.packetMs)) {
          events.refusedConnection('packet_too_slow', who());
          socket.destroy();
        }
    }
  }

  async publish(topic: string, payload: string, options: { retain?: boolean } = {}): Promise<void> {
    const aedes = this.#aedes;
    if (aedes === null) throw new Error('The broker is not open');
    const packet = { cmd: 'publish', topic, payload, qos: 1, dup: false, retain: options.retain ?? false } as const;
    await new Promise<void>((resolve, reject) => aedes.publish(packet, (error) => (error ? reject(error) : resolve())));
  }

  /**
   * Closing over what a client still sends resets its connection, and the reset overtakes the answers that it has not
   * read: so the end is said first, as web servers do (a lingering close).
   */
  async #farewell(): Promise<void> {
    const late = new AbortController();
    const parted = Promise.all([...this.#served.keys()].map(parting));
    await Promise.race([parted, this.#options.clock.sleep(FAREWELL_MS, late.signal)]);
    late.abort();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const closed = [this.#plain, this.#tls?.server].map(closing);
    await this.#farewell();
    const aedes = this.#aedes;
    if (aedes) await new Promise<void>((done) => aedes.close(done));
    // The broker knows those that said who they are; the servers wait for all.
    for (const socket of this.#served.keys()) socket.destroy();
    this.#tls?.destroy();
    await Promise.all(closed);
  }
}

/** Resolves when the other side has read to the end and closed too, or failed. */
const parting = (socket: Socket): Promise<void> =>
  new Promise((parted) => {
    socket.once('close', () => parted());
    socket.end();
  });

const closing = (server: Server | null | undefined): Promise<void> =>
  new Promise((closed) => (server ? server.close(() => closed()) : closed()));

function portOf(server: Server | null | undefined): number | null {
  const address = server?.address();
  return typeof address === 'object' && address !== null ? address.port : null;
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ port, host, backlog: BACKLOG }, resolve);
  await promise;
  server.off('error', reject);
}
