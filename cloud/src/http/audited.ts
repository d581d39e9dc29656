import type { FastifyReply, FastifyRequest } from 'fastify';
import { addBeforeAnswer } from '../audit/written.ts';
import { actorName } from '../customers/scope.ts';
import type { Audit, AuditEntry, Clock } from '../ports.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The stable code of the problem that answers this request; null when none does. */
    problemCode: string | null;
  }
}

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);
/** What a request that only reads is refused with and the audit log tells of: somebody came who may not. */
const NOT_LET_IN = new Set([401, 403, 429]);

/**
 * Makes the one hook that writes the audit log for every route: each write, with its result, and each refusal to let
 * somebody in. What was done is written before it is answered.
 */
export function auditing(audit: Audit, clock: Clock) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const entry = entryOf(request, reply);
    if (entry === null) return;
    if (entry.result === 'done') await addBeforeAnswer(audit, clock, entry);
    else void audit.add(entry);
  };
}

function entryOf(request: FastifyRequest, reply: FastifyReply): AuditEntry | null {
  const operation: unknown = request.routeOptions.schema?.['operationId' as keyof object];
  if (typeof operation !== 'string') return null;
  const { statusCode } = reply;
  if (READING.has(request.method) && !NOT_LET_IN.has(statusCode)) return null;
  const isLetIn = request.principal !== null;
  // Whoever needs no token does nothing here that would be worth an entry: he must not fill the log.
  if (!isLetIn && statusCode < 400) return null;
  return {
    actor: request.principal ? actorName(request.principal.actor) : 'unknown',
    action: isLetIn ? operation : 'authenticate',
    result: resultOf(statusCode),
    code: request.problemCode ?? undefined,
    deviceId: named(request, 'deviceId'),
    // Nobody reads in the log of others what somebody tried on them without success: it stands in that of his own.
    customerId: request.principal?.scope.customerId ?? named(request, 'customerId'),
    address: request.ip,
    requestId: request.id,
    detail: { method: request.method, path: request.url.split('?', 1)[0] ?? '', status: statusCode },
  };
}

function resultOf(status: number): AuditEntry['result'] {
  if (status < 400) return 'done';
  return status < 500 ? 'refused' : 'failed';
}

/** What a request is about, by its path or its body. */
function named({ params, body }: FastifyRequest, name: 'deviceId' | 'customerId'): string | undefined {
  for (const part of [params, body]) {
    const value: unknown = typeof part === 'object' && part !== null ? Reflect.get(part, name) : undefined;
    if (typeof value === 'string') return value;
  }
  return undefined;
}
