import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  LOCAL_PROBLEMS,
  type LocalProblem,
  type LocalReply,
  type LocalServed,
  type LocalServer,
} from '../ports-local.ts';
import { Connection } from './local-server/connection.ts';
import { rawProblem, send } from './local-server/reply.ts';
import { listenAt, type OwnSocket, type SocketPlace } from './local-server/socket.ts';

/** What anybody who may connect can take of this process. */
const BOUNDS = {
  /** Those that come when there are more are refused what they ask for; beyond twice as many nobody gets in. */
  connections: 32,
  headerBytes: 8_192,
  headers: 64,
  bodyBytes: 16_384,
  headersWithinMs: 5_000,
  requestWithinMs: 10_000,
  keepAliveMs: 15_000,
  /** Longer than anything that is answered takes. */
  silentMs: 90_000,
  /** Who goes on asking although refused so often in a row is closed. */
  refusals: 100,
  closeWithinMs: 1_000,
} as const;

/** What Node says of a request that cannot be read. */
const CLIENT_ERRORS: Readonly<Record<string, LocalProblem>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_too_slow',
};

const problem = (code: LocalProblem): LocalReply => {
  const { status, title } = LOCAL_PROBLEMS[code];
  return { status, body: { type: 'about:blank', title, status, code } };
};

/** HTTP/1.1 on a Unix socket. Who may connect is decided by the permissions of the file, and by nothing else. */
export function createLocalServer(place: SocketPlace): LocalServer {
  const connections = new Map<Duplex, Connection>();
  let served: LocalServed | null = null;
  let own: OwnSocket | null = null;
  const options = {
    maxHeaderSize: BOUNDS.headerBytes,
    headersTimeout: BOUNDS.headersWithinMs,
    requestTimeout: BOUNDS.requestWithinMs,
    keepAliveTimeout: BOUNDS.keepAliveMs,
    connectionsCheckingInterval: 500,
  };
  const server = createServer(options, (request, response) => {
    const connection = connections.get(request.socket);
    if (connection === undefined || served === null) return void response.destroy();
    connection.response = response;
    void serve(served, connection, request, response);
  });
  // Somebody could not be taken in, for want of descriptors or memory: no reason for the agent to end.
  server.on('error', () => undefined);
  server.maxHeadersCount = BOUNDS.headers;
  server.maxConnections = 2 * BOUNDS.connections;
  server.timeout = BOUNDS.silentMs;
  let number = 0;
  server.on('connection', (socket: Socket) => {
    const isTooMuch = connections.size >= BOUNDS.connections;
    const connection = new Connection((number += 1), isTooMuch);
    connections.set(socket, connection);
    socket.on('close', () => {
      connections.delete(socket);
      connection.gone.abort();
      served?.closed(connection.number);
    });
  });
  server.on('clientError', (cause: NodeJS.ErrnoException, socket) => {
    const isAnswering = connections.get(socket)?.response?.headersSent ?? false;
    if (!socket.writable || isAnswering || cause.code === 'ECONNRESET') return void socket.destroy();
    socket.end(rawProblem(CLIENT_ERRORS[cause.code ?? ''] ?? 'request_malformed'), () => socket.destroy());
  });
  return {
    async open(behind) {
      served = behind;
      own = await listenAt(server, place);
    },
    isThere: async () => (await own?.isThere()) ?? false,
    async close() {
      await own?.remove();
      own = null;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const late = setTimeout(() => server.closeAllConnections(), BOUNDS.closeWithinMs);
      await closed;
      clearTimeout(late);
    },
  };
}

async function serve(
  served: LocalServed,
  connection: Connection,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.on('close', () => {
    if (connection.response === response) connection.response = null;
  });
  if (connection.isTooMuch) return send(response, problem('too_many_connections'), true);
  const refused = connection.isFull ? problem('too_many_requests') : served.admit(connection.number);
  connection.refused = refused === null ? 0 : connection.refused + 1;
  if (refused !== null) return send(response, refused, connection.refused >= BOUNDS.refusals);
  return connection.inTurn((before) => answer(served, connection, { request, response, before }));
}

interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly before: Promise<void>;
}

async function answer(
  served: LocalServed,
  { gone: { signal: gone } }: Connection,
  { request, response, before }: Turn,
): Promise<void> {
  const body = await readBody(request);
  await before;
  // Half of a request is none, whatever it says.
  if (body === 'broken off') return;
  if (body === 'too large') return send(response, problem('body_too_large'), true);
  const { pathname, searchParams } = urlOf(request) ?? {};
  if (pathname === undefined) return send(response, problem('request_malformed'), true);
  const { method = '' } = request;
  const reply = await served.answer({ method, path: pathname, query: new Map(searchParams), body: body.text, gone });
  send(response, reply);
  // Nothing can be answered behind a stream.
  if ('listen' in reply && !gone.aborted)
    await new Promise<void>((resolve) => gone.addEventListener('abort', () => resolve()));
}

async function readBody(request: IncomingMessage): Promise<{ readonly text: string } | 'too large' | 'broken off'> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    // Whoever sends too much is still to hear so.
    for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > BOUNDS.bodyBytes) return 'too large';
      parts.push(part);
    }
  } catch {
    return 'broken off';
  }
  return { text: Buffer.concat(parts).toString() };
}

const urlOf = ({ url = '' }: IncomingMessage): URL | null => URL.parse(url, 'http://local');
