import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import fastify, { type FastifyError, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify';
import type { KeySet } from '@paddock/shared/keys.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import { Archive } from '../devices/archive.ts';
import { DeviceViews } from '../devices/views.ts';
import type { Audit, Clock, Log, Store } from '../ports.ts';
import { auditing } from './audited.ts';
import { authentication, Failures, type Authenticate, type FailureLimit } from './auth.ts';
import { EventHub, type HubSettings } from './event-hub.ts';
import { DOCUMENT } from './document.ts';
import { HttpError, problemOf } from './problem.ts';
import type { Http } from './routes.ts';
import { auditRoutes } from './routes/audit.ts';
import { cloudKeyRoutes } from './routes/cloud-keys.ts';
import { customerRoutes } from './routes/customers.ts';
import { deviceRoutes } from './routes/devices.ts';
import { instanceRoutes } from './routes/instances.ts';
import { keyListRoutes, type KeyListParts } from './routes/key-lists.ts';
import { lifeRoutes } from './routes/lives.ts';
import { eventRoutes } from './routes/events.ts';
import { reportRoutes } from './routes/reports.ts';
import { serviceRoutes, type Exposition, type Probe } from './routes/service.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { serializerCompiler, validatorCompiler } from './validation.ts';

export interface HttpParts {
  readonly audit: Audit;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** pino, or nothing: the framework's own lines about requests. */
  readonly logger?: FastifyServerOptions['loggerInstance'];
  readonly authenticate: Authenticate;
  readonly inflater: Inflate;
  /** How wrong the cloud's own clock can be now, in ms. */
  readonly cloudErrorMs: () => number;
  /** The cloud's public keys as they are now. */
  readonly cloudKeys: () => KeySet;
  readonly believed: KeyListParts['believed'];
  readonly exposition: Exposition;
  /** What must work for the service to be ready. */
  readonly probes: readonly Probe[];
  readonly failureLimit?: FailureLimit;
  readonly hub?: HubSettings;
}

export interface App {
  /** @param host loopback unless told otherwise; @returns the address that it listens on */
  listen(address: { host?: string; port: number }): Promise<string>;
  /** Ends every stream, finishes requests under way, and closes. */
  close(): Promise<void>;
  /** Method and path of every route, in the form of OpenAPI. */
  readonly routes: readonly string[];
  readonly document: () => object;
}

const MAX_BODY_BYTES = 65_536;
/** How long a client may take to send a request. */
const REQUEST_TIMEOUT_MS = 30_000;
/** How long requests under way may take to end when the service stops. */
const CLOSE_WITHIN_MS = 2_000;

/** The HTTP service: everything it needs is handed in, nothing is running before listen(). */
export async function createApp(parts: HttpParts): Promise<App> {
  const routes: string[] = [];
  const views = new DeviceViews({ sql: parts.store, inflater: parts.inflater, cloudErrorMs: parts.cloudErrorMs });
  const archive = new Archive({ sql: parts.store, inflater: parts.inflater, cloudErrorMs: parts.cloudErrorMs });
  const hub = new EventHub({ ...parts, views, ...(parts.hub && { settings: parts.hub }) });
  const app = framework(parts);
  app.addHook('onRoute', ({ method, url, schema }) => {
    const isShown = schema?.hide !== true && !url.startsWith('/docs');
    for (const verb of [method].flat()) if (isShown && verb !== 'HEAD') routes.push(routeName(verb, url));
  });
  await app.register(swagger, { openapi: DOCUMENT });
  // The plain layout: without another project's banner, and without a field to load other documents.
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    theme: { title: 'Paddock API' },
    uiConfig: { layout: 'BaseLayout', docExpansion: 'list' },
  });
  await app.register(serviceRoutes(parts));
  await app.register(
    async (api: Http) => {
      api.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
      await api.register(async (guarded: Http) => {
        guarded.addHook('onRequest', authentication(parts.authenticate, new Failures(parts.clock, parts.failureLimit)));
        await guarded.register(deviceRoutes({ ...parts, views }));
        await guarded.register(reportRoutes({ archive, views }));
        await guarded.register(lifeRoutes({ ...parts, views }));
        await guarded.register(customerRoutes(parts));
        await guarded.register(tokenRoutes(parts));
        await guarded.register(cloudKeyRoutes(parts));
        await guarded.register(keyListRoutes(parts));
        await guarded.register(instanceRoutes(parts));
        await guarded.register(auditRoutes(parts));
        await guarded.register(eventRoutes({ hub, authenticate: parts.authenticate }));
      });
    },
    { prefix: '/api/v1' },
  );
  app.addHook('preClose', () => hub.close());
  await app.ready();
  return {
    routes,
    document: () => app.swagger(),
    async listen({ host = '127.0.0.1', port }) {
      await hub.open();
      const address = await app.listen({ host, port });
      // Without a listener, a connection that cannot be accepted (no file descriptors left) would end the process.
      app.server.on('error', (error) => parts.log.warn({ err: error }, 'A connection could not be accepted'));
      return address;
    },
    async close() {
      const closed = new AbortController();
      // To Node a connection on which nothing was ever asked (browsers open them ahead) is not idle, and waited for.
      void parts.clock.sleep(CLOSE_WITHIN_MS, closed.signal).then(() => app.server.closeAllConnections());
      await app.close();
      closed.abort();
    },
  };
}

const routeName = (method: string, url: string): string => `${method} ${url.replace(/:(\w+)/g, '{$1}')}`;

function framework({ logger, log, audit, clock }: HttpParts): Http {
  const app: Http = fastify({
    ...(logger ? { loggerInstance: logger } : { logger: false }),
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 128 },
    return503OnClosing: true,
    genReqId: () => randomUUID(),
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.decorateRequest('principal', null);
  app.decorateRequest('problemCode', null);
  app.addHook('onSend', async (request, reply) => {
    reply.headers(headersFor(reply)).header('x-request-id', request.id);
  });
  app.addHook('onSend', auditing(audit, clock));
  app.setErrorHandler((error: FastifyError, request, reply) => refuse(error, request, reply, log));
  app.setNotFoundHandler((request, reply) => refuse(new HttpError('not_found'), request, reply, log));
  return app;
}

/** What every answer says to browsers; the pages under /docs bring their own content policy. */
function headersFor(reply: FastifyReply): Record<string, string> {
  const missing = Object.entries(UNLESS_SAID).filter(([name]) => !reply.hasHeader(name));
  return { ...ALWAYS_SAID, ...Object.fromEntries(missing) };
}

const ALWAYS_SAID = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
};
const UNLESS_SAID = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
  const problem = problemOf(error);
  request.problemCode = problem.code;
  if (problem.status >= 500) log.error({ err: error, method: request.method, url: request.url }, 'A request failed');
  if (problem.status === 401) reply.header('www-authenticate', `Bearer realm="paddock", error="${problem.code}"`);
  if (problem.status === 429) reply.header('retry-after', '60');
  return reply.code(problem.status).type('application/problem+json').serializer(JSON.stringify).send(problem);
}
