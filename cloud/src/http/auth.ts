import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { withRequest } from '../customers/scope.ts';
import type { Authenticated } from '../customers/tokens.ts';
import type { Clock } from '../ports.ts';
import { HttpError } from './problem.ts';

/** Finds the holder of a token by the token's hash; null when there is none. */
export type Authenticate = (token: string) => Promise<Authenticated | null>;

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by authentication; null on routes outside it. */
    principal: Authenticated | null;
  }
}

/** RFC 6750, section 2.1; the scheme's name in any case (RFC 9110, section 11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]{1,512}=*) *$/i;

export interface FailureLimit {
  /** Wrong tokens that an address may show within the window. */
  readonly failures: number;
  readonly windowMs: number;
  /** Addresses, and good tokens, that are remembered; the oldest are forgotten first. */
  readonly remembered: number;
}

export const FAILURE_LIMIT: FailureLimit = { failures: 20, windowMs: 60_000, remembered: 10_000 };

/**
 * Counts wrong tokens by address, in bounded memory. Behind a proxy that is not trusted, or a router, many have one address: a token that was good
 * before is let through, so that nobody who guesses can lock out those who know.
 */
export class Failures {
  readonly #clock: Clock;
  readonly #limit: FailureLimit;
  readonly #counts = new Map<string, { since: number; count: number }>();
  readonly #good = new Map<string, true>();

  constructor(clock: Clock, limit: FailureLimit = FAILURE_LIMIT) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** @throws HttpError `too_many_failures` */
  check(address: string, token: string): void {
    const count = this.#current(address)?.count ?? 0;
    if (count >= this.#limit.failures && !this.#good.has(hashOf(token))) throw new HttpError('too_many_failures');
  }

  succeeded(token: string): void {
    this.#remember(this.#good, hashOf(token), true);
  }

  failed(address: string, token: string): void {
    this.#good.delete(hashOf(token));
    const { since, count } = this.#current(address) ?? { since: this.#clock.monotonic(), count: 0 };
    this.#remember(this.#counts, address, { since, count: count + 1 });
  }

  #current(address: string) {
    const entry = this.#counts.get(address);
    return entry && this.#clock.monotonic() - entry.since < this.#limit.windowMs ? entry : undefined;
  }

  #remember<V>(map: Map<string, V>, key: string, value: V): void {
    map.delete(key);
    map.set(key, value);
    const [oldest] = map.keys();
    if (map.size > this.#limit.remembered && oldest !== undefined) map.delete(oldest);
  }
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64url');

/**
 * Makes the hook that every route under /api/v1 stands behind.
 * Tokens are 32 random bytes, looked up by their SHA-256: no comparison depends on the secret's bytes.
 */
export function authentication(authenticate: Authenticate, failures: Failures) {
  return async (request: FastifyRequest): Promise<void> => {
    const token = tokenOf(request);
    if (token === undefined) throw new HttpError('token_missing');
    failures.check(request.ip, token);
    const found = await authenticate(token);
    if (found === null) {
      failures.failed(request.ip, token);
      throw new HttpError('token_invalid');
    }
    failures.succeeded(token);
    request.principal = { ...found, actor: withRequest(found.actor, request.id) };
  };
}

const tokenOf = (request: FastifyRequest): string | undefined => BEARER.exec(request.headers.authorization ?? '')?.[1];

/** Asks again, for requests that go on for long: whether the token that came with it is still good. */
export async function isStillAllowed(authenticate: Authenticate, request: FastifyRequest): Promise<boolean> {
  const token = tokenOf(request);
  return token !== undefined && (await authenticate(token)) !== null;
}

/** The principal of a request behind {@link authentication}. */
export function principalOf(request: FastifyRequest): Authenticated {
  if (request.principal === null) throw new HttpError('token_missing');
  return request.principal;
}
