import type { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes, type Client } from 'aedes';
import type { Admission, Broker, BrokerEvents, Clock, TlsIdentity } from '../ports.ts';
import { handlers } from './aedes/handlers.ts';
import { PacketBudget, PacketGuard } from './aedes-packet-guard.ts';
import type { TlsPeer } from './aedes/peer.ts';
import { TlsListener, type TlsListenerOptions } from './aedes/tls.ts';

export interface EmbeddedBrokerOptions {
  /** Where plain MQTT is taken; a null port is none. */
  readonly host: string;
  readonly port: number | null;
  /** MQTT over mutual TLS. */
  readonly tls?: TlsListenerOptions;
  /** Whom the database lets in. */
  readonly admission?: Admission;
  readonly clock: Clock;
  /** Connections at once on each of the two; one more is closed at once. */
  readonly maxConnections?: number;
  /** What goes wrong and ends nothing: accepting for want of file descriptors, the broker's own bookkeeping. */
  readonly log?: (message: string, error: unknown) => void;
}

const MAX_CONNECTIONS = 20_000;
/** Connections that wait to be accepted: a fleet comes back at once, and Node's 511 would turn it away for seconds. */
const BACKLOG = 4_096;
/** Without somebody who knows better, whoever comes may stay. */
const EVERYBODY: Admission = { admit: async () => null, gone: () => undefined };

/**
 * The MQTT broker inside the service (MQTT 3.1.1). A client's id is its device id: it publishes to its own
 * upward topics and subscribes to its own downward ones, nothing else. Messages reach us before they are
 * acknowledged, so a held acknowledgement is back-pressure on that one client.
 */
export class EmbeddedBroker implements Broker {
  readonly #options: EmbeddedBrokerOptions;
  #aedes: Aedes | null = null;
  #plain: Server | null = null;
  #tls: TlsListener | null = null;
  readonly #peers = new WeakMap<object, TlsPeer>();
  readonly #sockets = new Set<Socket>();
  readonly #budget = new PacketBudget();

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
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
    const peerOf = ({ conn }: Client): TlsPeer | null => this.#peers.get(conn) ?? null;
    const aedes = await Aedes.createBroker(handlers({ events, clock, admission, peerOf }));
    this.#aedes = aedes;
    const emitter: EventEmitter = aedes;
    // Without their listeners this and the servers' errors would end the process.
    emitter.on('error', (error: unknown) => this.#options.log?.('The broker failed at something', error));
    if (port !== null) {
      this.#plain = createServer({ noDelay: true }, (socket) => this.#serve(aedes, socket, events));
      await this.#listen(this.#plain, host, port);
    }
    if (tls !== undefined) {
      const serve = (socket: Socket, peer: TlsPeer): void => {
        this.#peers.set(socket, peer);
        this.#serve(aedes, socket, events);
      };
      this.#tls = new TlsListener(tls, { events, serve });
      await this.#listen(this.#tls.server, tls.host, tls.port);
    }
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

  async #listen(server: Server, host: string, port: number): Promise<void> {
    server.maxConnections = this.#options.maxConnections ?? MAX_CONNECTIONS;
    await listening(server, host, port);
    server.on('error', (error) => this.#options.log?.('A connection could not be accepted', error));
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
    const closed = [this.#plain, this.#tls?.server].map(closing);
    const aedes = this.#aedes;
    if (aedes) await new Promise<void>((done) => aedes.close(done));
    // The broker knows those that said who they are; the servers wait for all.
    for (const socket of this.#sockets) socket.destroy();
    this.#tls?.destroy();
    await Promise.all(closed);
  }
}

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
