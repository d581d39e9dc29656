import type { FastifyReply } from 'fastify';
import Type from 'typebox';
import { isStillAllowed, principalOf, type Authenticate } from '../auth.ts';
import { parseEventId } from '../event-id.ts';
import type { EventHub, Sink } from '../event-hub.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import { refusals } from '../schemas.ts';

const LISTEN = {
  schema: {
    tags: ['events'],
    operationId: 'listen',
    summary:
      'Server-sent events: `state` (a device), `presence` (a change of presence), `desired` (something else is desired of ' +
      'a device, or reported of that), `assignment` (with its totals), `assignment-device` (how far a device is in one), ' +
      '`ready` (up to date), `reset`',
    description:
      'Each event has an id. Sent back as Last-Event-ID, to any instance of the service, it brings what changed ' +
      'since: the newest state of each device, not every step. An id of another database brings `reset` and then ' +
      'everything. Events may come twice. A listener that does not read is dropped, and one whose token is revoked.',
    headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 64 })) }),
    response: {
      200: { description: 'A stream of events', content: { 'text/event-stream': { schema: Type.String() } } },
      ...refusals,
    },
  },
} as const;

/** What happens, as it happens: server-sent events (WHATWG HTML, 9.2). */
export const eventRoutes =
  ({ hub, authenticate }: { hub: EventHub; authenticate: Authenticate }): Routes =>
  async (app) => {
    app.get('/events', { ...LISTEN, exposeHeadRoute: false }, async (request, reply) => {
      const { scope } = principalOf(request);
      const last = request.headers['last-event-id'];
      const from = last ? parseEventId(last) : null;
      if (hub.isFull) throw new HttpError('unavailable', 'Too many listeners');
      reply.hijack();
      const sink = sinkOf(reply.raw);
      const isAllowed = () => isStillAllowed(authenticate, request);
      await hub.serve({ scope, sink, isAllowed }, from).catch((error: unknown) => {
        request.log.error({ err: error }, 'A listener could not be served');
        sink.end();
      });
    });
  };

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
} as const;

function sinkOf(response: FastifyReply['raw']): Sink {
  const closed = new AbortController();
  response.on('close', () => closed.abort());
  response.on('error', () => closed.abort());
  response.writeHead(200, HEADERS);
  return {
    closed: closed.signal,
    write: (text) => void (closed.signal.aborted || response.write(text)),
    waitingBytes: () => response.writableLength,
    end: () => void response.destroy(),
  };
}
