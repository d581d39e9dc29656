import { randomUUID } from 'node:crypto';
import fastify, { type FastifyError, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify';
import type { Audit, Clock, Log } from '../ports.ts';
import { auditing } from './audited.ts';
import { HttpError, problemOf } from './problem.ts';
import type { Http } from './routes.ts';
import { serializerCompiler, validatorCompiler } from './validation.ts';

const MAX_BODY_BYTES = 65_536;
/** How long a client may take to send a request. */
const REQUEST_TIMEOUT_MS = 30_000;

/** What every server of ours needs. */
export interface FrameworkParts {
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  /** pino, or nothing: the framework's own lines about requests. */
  readonly logger?: FastifyServerOptions['loggerInstance'];
  /** Addresses and networks whose word counts for where a request comes from: nobody's unless told otherwise. */
  readonly trustedProxies?: readonly string[];
  /** By default plain HTTP. */
  readonly serverFactory?: FastifyServerOptions['serverFactory'];
}

/** Problem documents, schemas that validate, headers and the audit log: the same for every route. */
export function framework({ logger, log, audit, clock, serverFactory, trustedProxies = [] }: FrameworkParts): Http {
  const app: Http = fastify({
    ...(logger ? { loggerInstance: logger } : { logger: false }),
    ...(serverFactory && { serverFactory }),
    trustProxy: [...trustedProxies],
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
