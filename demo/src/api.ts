import type { Claim } from '@paddock/shared/enrolment.ts';
import type { KeySet } from '@paddock/shared/keys.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvents, type ServerEvent } from './server-events.ts';

/** The cloud said no; `code` is its problem's code (docs/operations.md). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const READY_EVERY_MS = 100;

/** The cloud's HTTP API, as an operator uses it. */
export class Api {
  readonly #url: string;
  readonly #token: () => string;

  /** @param token read at every call, because the cloud makes it at its first start */
  constructor(url: string, token: () => string) {
    this.#url = url;
    this.#token = token;
  }

  /** Resolves when the cloud takes requests; rejects when the signal aborts first. */
  async ready(signal: AbortSignal): Promise<void> {
    for (;;) {
      const answer = await fetch(`${this.#url}/readyz`, { signal }).catch(() => null);
      signal.throwIfAborted();
      if (answer?.ok) return;
      await sleep(READY_EVERY_MS, undefined, { signal });
    }
  }

  /**
   * Creates something unless it is there.
   * @returns whether it was created now
   */
  async ensure(path: string, body: object): Promise<boolean> {
    try {
      await this.#request('POST', path, body);
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) return false;
      throw error;
    }
  }

  /** Lets a factory's key make claims. @returns what its claims say of this cloud */
  async addFactoryKey(body: object): Promise<Pick<Claim, 'url' | 'ca' | 'root'>> {
    const { claims } = (await this.#request('POST', '/factory-keys', body)) as {
      claims: Pick<Claim, 'url' | 'ca' | 'root'>;
    };
    return claims;
  }

  /** Whether it was told who may sign firmware. */
  async hasFirmwareRoot(): Promise<boolean> {
    const { roots } = (await this.#request('GET', '/firmware')) as { roots: readonly string[] };
    return roots.length > 0;
  }

  async cloudKeys(): Promise<KeySet> {
    return (await this.#request('GET', '/cloud-keys')) as KeySet;
  }

  /** What happens from now on. Ends when the connection does. */
  async *events(lastEventId: string | null, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const resume = lastEventId === null ? {} : { 'last-event-id': lastEventId };
    const answer = await fetch(`${this.#url}/api/v1/events`, { headers: { ...this.#headers(), ...resume }, signal });
    if (!answer.ok || answer.body === null) throw await problemOf(answer);
    yield* readEvents(answer.body);
  }

  async #request(method: string, path: string, body?: object): Promise<unknown> {
    const answer = await fetch(`${this.#url}/api/v1${path}`, {
      method,
      headers: { ...this.#headers(), ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw await problemOf(answer);
    return answer.json();
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.#token()}` };
  }
}

async function problemOf(answer: Response): Promise<ApiError> {
  const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string; title?: string };
  const { code = 'unknown', title = 'The request failed', detail = '' } = problem;
  return new ApiError(answer.status, code, `${title} (${code}) ${detail}`.trim());
}
