import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { FetchError, type Repository } from '../ports-firmware.ts';
import type { Clock } from '../ports.ts';
import { partOf, readWhole } from './repository/body.ts';
import { paced, type Pace } from './repository/pace.ts';

/** How long a server may take until its answer begins. */
const ANSWER_WITHIN_MS = 30_000;
/** What it has to send at least; the time that we take ourselves is not counted. */
const PACE: Pace = { bytes: 30_720, withinMs: 30_000 };

export interface RepositoryOptions {
  /** Ends in a slash. */
  readonly base: string;
  /** Resolves when the server has proved who it is; null: plain HTTP, to whoever answers. */
  readonly connect: (() => Promise<Duplex>) | null;
  readonly clock: Clock;
  readonly pace?: Pace;
  readonly answerWithinMs?: number;
}

/**
 * Files below a URL. Nothing that a server sends is believed, so it may be plain HTTP; what it can do is to send nothing,
 * too slowly, or too much, and each of these ends. Redirects are not followed: they lead where nobody configured.
 */
export function createRepository(options: RepositoryOptions): Repository {
  const { clock, pace = PACE } = options;
  const agent = agentOn(new HttpAgent({ keepAlive: true, maxSockets: 1 }), options.connect);
  const ask = (path: string, signal: AbortSignal, range?: string): Promise<IncomingMessage> =>
    answerOf(options, agent, { path, signal, range });
  return {
    async get(path, most, signal) {
      const answer = await ask(path, signal);
      if (answer.statusCode === 404 || answer.statusCode === 410) return closed(answer, null);
      if (answer.statusCode !== 200) throw closed(answer, refused(path, answer));
      return readWhole(paced(answer, pace, clock, signal), path, most).finally(() => letGo(answer));
    },
    async *part(path, from, bytes, signal) {
      if (bytes === 0) return;
      const answer = await ask(path, signal, `bytes=${from}-${from + bytes - 1}`);
      try {
        yield* partOf(answer, paced(answer, pace, clock, signal), { path, from, bytes });
      } finally {
        letGo(answer);
      }
    },
  };
}

function agentOn(agent: HttpAgent, connect: RepositoryOptions['connect']): HttpAgent {
  if (connect === null) return agent;
  agent.createConnection = (_options, made) => {
    connect().then(
      (socket) => made?.(null, socket),
      (cause: Error) => made?.(cause, null as never),
    );
    return undefined;
  };
  return agent;
}

interface Ask {
  readonly path: string;
  readonly signal: AbortSignal;
  readonly range: string | undefined;
}

async function answerOf(options: RepositoryOptions, agent: HttpAgent, ask: Ask): Promise<IncomingMessage> {
  const { clock, answerWithinMs = ANSWER_WITHIN_MS } = options;
  const over = new AbortController();
  let request: ClientRequest | null = null;
  const late = clock.sleep(answerWithinMs, over.signal).then(() => {
    if (!over.signal.aborted) request?.destroy(new FetchError('fetch_too_slow', `${ask.path}: no answer in time`));
  });
  const once = (): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      request = httpRequest(requestOf(options, agent, ask), resolve)
        .on('error', reject)
        .end();
    });
  try {
    return await once().catch((cause: unknown) => {
      // The server let go of a connection that was kept, just when it was needed.
      if (request?.reusedSocket !== true || isOurs(cause) || ask.signal.aborted) throw cause;
      return once();
    });
  } catch (cause) {
    throw named(ask.path, cause);
  } finally {
    over.abort();
    await late;
  }
}

function requestOf({ base }: RepositoryOptions, agent: HttpAgent, { path, signal, range }: Ask): RequestOptions {
  const url = new URL(path, base);
  return {
    agent,
    signal,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    path: url.pathname,
    // As it lies there: what a server packs on its way would count twice against our bounds.
    headers: { host: url.host, 'accept-encoding': 'identity', ...(range !== undefined && { range }) },
  };
}

const isOurs = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && /^[a-z]/.test(String(cause.code));

const refused = (path: string, { statusCode }: IncomingMessage): FetchError =>
  new FetchError('fetch_refused', `${path}: ${statusCode}`);

/**
 * A connection whose answer was read to its end is kept for the next question, and may be in use by it already. One whose
 * answer has come and is not read, as of a pack that is not there, would keep the next question waiting until the server
 * ends it.
 */
function letGo(answer: IncomingMessage): void {
  if (!answer.readableEnded) answer.destroy();
}

/** What is not read would keep the connection waiting. */
function closed<T>(answer: IncomingMessage, value: T): T {
  answer.destroy();
  return value;
}

/** Why a server was not believed has a code of its own. */
const named = (path: string, cause: unknown): Error =>
  cause instanceof Error && isOurs(cause)
    ? cause
    : new FetchError('fetch_failed', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
