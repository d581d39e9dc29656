import { EVENT_ID_PATTERN } from '@paddock/shared/report.ts';
import type { Clock } from '../ports.ts';
import type { LocalReply, LocalRequest, LocalServed } from '../ports-local.ts';
import { codeOf, createQuiet, type Log } from '../report/log.ts';
import { LockError } from '../update/lock.ts';
import type { Applications } from './applications.ts';
import { Budget } from './budget.ts';
import type { LocalEvents } from './events.ts';
import type { Listeners } from './listeners.ts';
import { lockProblem, type LocalLock } from './lock.ts';
import { LocalError, problemReply, refusal } from './problem.ts';
import { EventBody, HealthBody, LockBody, parseBody } from './shapes.ts';
import type { LocalState } from './state.ts';

const WAIT_SECONDS = 10;
const MOST_WAIT_SECONDS = 60;
/** Requests that are being answered: about events, which wait for the cloud, and all others, which must not wait for those. */
const MOST_ANSWERING = 16;

export interface InterfaceParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly state: () => Promise<LocalState>;
  readonly events: LocalEvents;
  readonly listeners: Listeners;
  readonly lock: LocalLock;
  readonly applications: Applications;
}

type Handler = (parts: InterfaceParts, name: string, request: LocalRequest) => Promise<LocalReply>;

const ok = (body: object): LocalReply => ({ status: 200, body });

/** Addresses and what each method does there; a colon stands for a name. */
export const ROUTES: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  '/v1/state': { GET: async ({ state }) => ok(await state()) },
  '/v1/desired': { GET: async ({ state }) => ok({ desired: (await state()).desired }) },
  '/v1/changes': { GET: async ({ listeners }) => ({ listen: listeners.add() }) },
  '/v1/events/:': {
    GET: ({ events }, id, { query, gone }) => events.follow(id, waitMs(query), gone),
    PUT: ({ events }, id, { query, gone, body }) => {
      if (!new RegExp(EVENT_ID_PATTERN).test(id))
        throw new LocalError('request_invalid', 'the id of an event has 8 to 64 of A-Z, a-z, 0-9, _ and -');
      return events.post(id, parseBody(EventBody, body), waitMs(query), gone);
    },
  },
  '/v1/lock': { GET: async ({ lock }) => ok({ lock: await lock.shown() }) },
  '/v1/lock/:': {
    PUT: async ({ lock }, owner, { body }) => {
      const { reason, seconds } = parseBody(LockBody, body);
      return ok({ lock: await lock.take(owner, reason, seconds * 1000) });
    },
    DELETE: async ({ lock }, owner) => {
      await lock.release(owner);
      return ok({ lock: null });
    },
  },
  '/v1/applications': {
    GET: async ({ applications, clock }) => ok({ applications: applications.shown(clock.monotonic()) }),
  },
  '/v1/applications/:': {
    PUT: async ({ applications, clock }, name, { body }) => {
      applications.report(name, parseBody(HealthBody, body));
      return ok({ application: applications.shown(clock.monotonic())[name] });
    },
  },
};

/** Everything behind the socket. */
export class LocalInterface implements LocalServed {
  readonly #parts: InterfaceParts;
  readonly #budget = new Budget();
  readonly #quiet: ReturnType<typeof createQuiet>;
  readonly #answering = { events: 0, others: 0 };

  constructor(parts: InterfaceParts) {
    this.#parts = parts;
    this.#quiet = createQuiet(parts.clock);
  }

  admit(connection: number): LocalReply | null {
    if (this.#budget.admits(connection, this.#parts.clock.monotonic())) return null;
    const fields = { code: 'too_many_requests' };
    this.#quiet((times) =>
      this.#parts.log.warn({ ...fields, times }, 'A program of this kiosk asks too often: it was refused'),
    );
    return refusal('too_many_requests', { retryAfterSeconds: 1 });
  }

  closed(connection: number): void {
    this.#budget.forget(connection);
  }

  async answer(request: LocalRequest): Promise<LocalReply> {
    const kind = request.path.startsWith('/v1/events/') ? 'events' : 'others';
    if (this.#answering[kind] >= MOST_ANSWERING) return refusal('too_many_requests', { retryAfterSeconds: 1 });
    this.#answering[kind] += 1;
    try {
      const { handler, name } = routeOf(request);
      return await handler(this.#parts, name, request);
    } catch (cause) {
      return this.#problemOf(cause);
    } finally {
      this.#answering[kind] -= 1;
    }
  }

  #problemOf(cause: unknown): LocalReply {
    if (cause instanceof LocalError) return problemReply(cause, cause.heads);
    if (cause instanceof LockError) return problemReply(lockProblem(cause));
    this.#parts.log.error({ code: codeOf(cause), err: cause }, 'A request of the local interface failed');
    return refusal('internal');
  }
}

function routeOf({ method, path }: LocalRequest): { readonly handler: Handler; readonly name: string } {
  const [, version = '', room = '', name, ...rest] = path.split('/');
  const methods = ROUTES[`/${version}/${room}${name === undefined ? '' : '/:'}`];
  if (methods === undefined || rest.length > 0) throw new LocalError('not_found');
  const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
  const allow = Object.keys(methods).join(', ');
  if (handler === undefined) throw new LocalError('method_not_allowed', allow, { allow });
  return { handler, name: nameOf(name ?? '') };
}

function nameOf(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new LocalError('not_found');
  }
}

function waitMs(query: ReadonlyMap<string, string>): number {
  const text = query.get('wait') ?? String(WAIT_SECONDS);
  const seconds = Number(text);
  if (text === '' || !(seconds >= 0 && seconds <= MOST_WAIT_SECONDS))
    throw new LocalError('request_invalid', `wait takes seconds from 0 to ${MOST_WAIT_SECONDS}`);
  return seconds * 1000;
}
