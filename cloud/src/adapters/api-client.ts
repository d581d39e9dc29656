import { setTimeout as sleep } from 'node:timers/promises';
import { readEvents, type ServerEvent } from './api-client-events.ts';

export type Item = Readonly<Record<string, unknown>>;
export type Query = Readonly<Record<string, string | undefined>>;

/** The service refused, with its code (RFC 9457), or `service_unreachable` when nobody answered. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface ApiAnswer {
  readonly body: Item;
  readonly etag: string | null;
}

const RECONNECT_MS = 1_000;
/** How long an answer may take; a stream of events may take for ever. */
const TIMEOUT_MS = 30_000;
/** What a stream that was taken up is worth trying again for: anything else would be refused again. */
const PASSING: readonly string[] = ['service_unreachable', 'unavailable', 'internal', 'refused'];
const LARGEST_PAGE = '500';

/** The HTTP API under /api/v1, as a program of the command line needs it. Every method may throw {@link ApiError}. */
export class ApiClient {
  readonly #url: string;
  readonly #token: string | null;
  readonly #timeoutMs: number;

  constructor(options: { readonly url: string; readonly token: string | null; readonly timeoutMs?: number }) {
    this.#url = `${options.url.replace(/\/+$/, '')}/api/v1`;
    this.#token = options.token;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  async get(path: string): Promise<ApiAnswer> {
    return this.#send('GET', path);
  }

  async send(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
    ifMatch?: string | null,
  ): Promise<ApiAnswer> {
    return this.#send(method, path, body, ifMatch ? { 'if-match': ifMatch } : {});
  }

  /** Everything in a list, page by page. */
  async *list(path: string, query: Query = {}): AsyncGenerator<Item> {
    for (let cursor: string | undefined; ;) {
      const { body } = await this.#send('GET', withQuery(path, { limit: LARGEST_PAGE, ...query, cursor }));
      if (Array.isArray(body['items'])) yield* body['items'] as Item[];
      if (typeof body['next'] !== 'string') return;
      cursor = body['next'];
    }
  }

  /** Sends a file, however long it is. @returns the objects that the service tells meanwhile, a line each (NDJSON) */
  async *upload(path: string, file: Blob): AsyncGenerator<Item> {
    const headers = { ...this.#headers(), 'content-type': file.type };
    const response = await this.#fetch(path, { method: 'POST', headers, body: file });
    if (!response.ok || response.body === null) return refuse(response);
    let rest = '';
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as Item;
    }
    if (rest !== '') throw new ApiError('service_unreachable', 'The service broke off its answer');
  }

  /** Live events until the signal aborts; a broken stream is taken up again where it broke. */
  async *events(signal: AbortSignal, onBreak: (error: unknown) => void): AsyncGenerator<ServerEvent> {
    let lastId: string | undefined;
    while (!signal.aborted) {
      try {
        for await (const event of readEvents(await this.#stream(lastId, signal))) {
          lastId = event.id;
          yield event;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && (lastId === undefined || !PASSING.includes(error.code))) throw error;
        onBreak(error);
      }
      await sleep(RECONNECT_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #stream(lastId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<string>> {
    const response = await this.#fetch('/events', {
      signal,
      headers: { ...this.#headers(), accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) },
    });
    if (!response.ok) await refuse(response);
    if (response.body === null) throw new ApiError('service_unreachable', 'The stream of events has no body');
    return response.body.pipeThrough(new TextDecoderStream());
  }

  async #send(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    const response = await this.#fetch(path, {
      method,
      signal: AbortSignal.timeout(this.#timeoutMs),
      headers: { ...this.#headers(), ...(body && { 'content-type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) await refuse(response);
    return { body: await bodyOf(response), etag: response.headers.get('etag') };
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(`${this.#url}${path}`, init);
    } catch (cause) {
      throw new ApiError('service_unreachable', `The service does not answer at ${this.#url}`, { cause });
    }
  }

  #headers(): Record<string, string> {
    return this.#token === null ? {} : { authorization: `Bearer ${this.#token}` };
  }
}

function withQuery(path: string, query: Query): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return `${path}?${new URLSearchParams(given).toString()}`;
}

async function bodyOf(response: Response): Promise<Item> {
  const text = await response.text().catch((cause: unknown) => {
    throw new ApiError('service_unreachable', `The service broke off its answer of ${response.url}`, { cause });
  });
  try {
    const body: unknown = text === '' ? {} : JSON.parse(text);
    if (typeof body === 'object' && body !== null) return { ...body };
  } catch {
    // Not JSON: told below.
  }
  throw new ApiError('answer_malformed', `The answer of ${response.url} is not JSON: is this the service?`);
}

async function refuse(response: Response): Promise<never> {
  const { code, title, detail, errors } = await bodyOf(response);
  const said = [detail, title].find((text) => typeof text === 'string') ?? `HTTP status ${response.status}`;
  throw new ApiError(typeof code === 'string' ? code : 'refused', [said, ...misfitsOf(errors)].join('; '));
}

/** Where a request does not fit, as the service says it. */
function misfitsOf(errors: unknown): string[] {
  if (!Array.isArray(errors)) return [];
  return (errors as Item[]).map(
    ({ in: part, pointer, detail }) => `${String(part)} ${String(pointer)} ${String(detail)}`,
  );
}
