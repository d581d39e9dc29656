import type { FastifyRequest } from 'fastify';
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
  /** Addresses remembered; the oldest are forgotten first. */
  readonly addresses: number;
}

export const FAILURE_LIMIT: FailureLimit = { failures: 20, windowMs: 60_000, addresses: 10_000 };

/** Counts wrong tokens by address, in bounded memory. */
export class Failures {
  readonly #clock: Clock;
  readonly #limit: FailureLimit;
  readonly #counts = new Map<string, { since: number; count: number }>();

  constructor(clock: Clock, limit: FailureLimit = FAILURE_LIMIT) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** @throws HttpError `too_many_failures` */
  check(address: string): void {
    const entry = this.#current(address);
    if (entry && entry.count >= this.#limit.failures) throw new HttpError('too_many_failures');
  }

  add(address: string): void {
    const entry = this.#current(address) ?? { since: this.#clock.monotonic(), count: 0 };
    this.#counts.delete(address);
    this.#counts.set(address, { ...entry, count: entry.count + 1 });
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > this.#limit.addresses && oldest !== undefined) this.#counts.delete(oldest);
  }

  #current(address: string) {
    const entry = this.#counts.get(address);
    return entry && this.#clock.monotonic() - entry.since < this.#limit.windowMs ? entry : undefined;
  }
}

/**
 * Makes the hook that every route under /api/v1 stands behind.
 * Tokens are 32 random bytes, looked up by their SHA-256: no comparison depends on the secret's bytes.
 */
export function authentication(authenticate: Authenticate, failures: Failures) {
  return async (request: FastifyRequest): Promise<void> => {
    failures.check(request.ip);
    const token = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) throw new HttpError('token_missing');
    request.principal = await authenticate(token);
    if (request.principal !== null) return;
    failures.add(request.ip);
    throw new HttpError('token_invalid');
  };
}

/** The principal of a request behind {@link authentication}. */
export function principalOf(request: FastifyRequest): Authenticated {
  if (request.principal === null) throw new HttpError('token_missing');
  return request.principal;
}
