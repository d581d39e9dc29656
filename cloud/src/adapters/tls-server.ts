import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';

/** A server certificate with what stands behind it, and its key, both in PEM. */
export interface ServerIdentity {
  readonly key: string;
  readonly cert: string;
}

/** Strangers may hold so many connections, and take so long. */
const MAX_CONNECTIONS = 2_000;
const HANDSHAKE_MS = 10_000;
const REQUEST_MS = 15_000;
const KEEP_ALIVE_MS = 10_000;

export interface TlsServer {
  readonly create: (handler: RequestListener) => Server;
  /** New connections are shown another certificate; those that stand go on. */
  renew(identity: ServerIdentity): void;
}

/** HTTPS, TLS 1.2 and newer, for whoever may come from anywhere. */
export function tlsServer(identity: ServerIdentity): TlsServer {
  const server = createServer({ ...identity, minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS });
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return {
    create: (handler) => server.on('request', handler),
    renew: ({ key, cert }) => server.setSecureContext({ key, cert, minVersion: 'TLSv1.2' }),
  };
}
