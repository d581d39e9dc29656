import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { DropArgument, Socket } from 'node:net';
import type { AddressGate, ConnectionRefusal } from '../ports.ts';

/** A server certificate with what stands behind it, and its key, both in PEM. */
export interface ServerIdentity {
  readonly key: string;
  readonly cert: string;
}

/** How many strangers may be connected, and how long they may take. */
export interface TlsServerLimits {
  readonly connections: number;
  readonly handshakeMs: number;
  /** For the head of a request, from the beginning of the connection or of the request on. */
  readonly headersMs: number;
  /** For all of it. */
  readonly requestMs: number;
  readonly keepAliveMs: number;
  /** How often the two before are looked at. */
  readonly lookEveryMs: number;
}

const LIMITS: TlsServerLimits = {
  connections: 2_000,
  handshakeMs: 10_000,
  headersMs: 10_000,
  requestMs: 15_000,
  keepAliveMs: 10_000,
  // By default Node looks every 30 s, and ends nobody before.
  lookEveryMs: 1_000,
};

export interface TlsServerOptions {
  readonly identity: ServerIdentity;
  readonly addresses: AddressGate;
  /** Told of every connection that is turned away or ended. */
  readonly refused: (code: ConnectionRefusal, address: string | null) => void;
  readonly limits?: Partial<TlsServerLimits>;
}

export interface TlsServer {
  readonly create: (handler: RequestListener) => Server;
  /** New connections are shown another certificate; those that stand go on. */
  renew(identity: ServerIdentity): void;
}

/** A client that went away in the middle did nothing wrong. */
const GONE = ['ECONNRESET', 'EPIPE'];
const HANDSHAKE_TIMED_OUT = 'ERR_TLS_HANDSHAKE_TIMEOUT';
const REQUEST_TIMED_OUT = 'ERR_HTTP_REQUEST_TIMEOUT';

/**
 * HTTPS, TLS 1.2 and newer, for whoever may come from anywhere: counted by address before anything is computed for it, so
 * that one address cannot take all connections from the others.
 */
export function tlsServer({ identity, addresses, refused, limits }: TlsServerOptions): TlsServer {
  const bounds = { ...LIMITS, ...limits };
  const server = createServer({
    ...identity,
    minVersion: 'TLSv1.2',
    handshakeTimeout: bounds.handshakeMs,
    headersTimeout: bounds.headersMs,
    requestTimeout: bounds.requestMs,
    keepAliveTimeout: bounds.keepAliveMs,
    connectionsCheckingInterval: bounds.lookEveryMs,
  });
  server.maxConnections = bounds.connections;
  server.on('drop', (dropped?: DropArgument) => refused('connections_too_many', dropped?.remoteAddress ?? null));
  countAddresses(server, addresses, refused);
  endFailures(server, refused);
  return {
    create: (handler) => server.on('request', handler),
    renew: ({ key, cert }) => server.setSecureContext({ key, cert, minVersion: 'TLSv1.2' }),
  };
}

/** Puts the addresses' count before the listeners that begin TLS. */
function countAddresses(server: Server, addresses: AddressGate, refused: TlsServerOptions['refused']): void {
  const begin = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const { remoteAddress } = socket;
    const code = addresses.enter(remoteAddress);
    if (code !== null) {
      socket.destroy();
      return refused(code, remoteAddress ?? null);
    }
    socket.once('close', () => addresses.leave(remoteAddress));
    for (const listener of begin) listener.call(server, socket);
  });
}

/** Ends who fails at TLS or takes too long. What comes in time and is no HTTP is answered by the framework above. */
function endFailures(server: Server, refused: TlsServerOptions['refused']): void {
  server.on('tlsClientError', (error, socket) => {
    const code = codeOf(error);
    if (!GONE.includes(code))
      refused(code === HANDSHAKE_TIMED_OUT ? 'tls_timeout' : 'tls_failed', socket.remoteAddress ?? null);
    socket.destroy();
  });
  server.on('clientError', (error, socket) => {
    if (codeOf(error) !== REQUEST_TIMED_OUT) return;
    refused('request_timeout', 'remoteAddress' in socket ? String(socket.remoteAddress) : null);
    socket.destroy();
  });
}

const codeOf = (error: Error): string => ('code' in error ? String(error.code) : '');
