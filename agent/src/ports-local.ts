/**
 * What the local interface refuses, one row a code: the HTTP status it travels with. Callers switch on codes.
 * Each is the body of an answer as application/problem+json (RFC 9457).
 */
export const LOCAL_PROBLEMS = {
  request_malformed: { status: 400, title: 'The request is not HTTP that can be read' },
  request_invalid: { status: 400, title: 'The request does not fit its schema' },
  body_malformed: { status: 400, title: 'The body is not JSON' },
  not_found: { status: 404, title: 'There is nothing under this address' },
  event_unknown: { status: 404, title: 'No event was posted under this id, or it was forgotten' },
  application_unknown: { status: 404, title: 'The configuration names no such application' },
  method_not_allowed: { status: 405, title: 'This address does not take this method' },
  request_too_slow: { status: 408, title: 'The request did not come in time' },
  event_id_reused: { status: 409, title: 'Another event was posted under this id' },
  body_too_large: { status: 413, title: 'The body is larger than this interface takes' },
  event_data_too_large: { status: 413, title: 'The data of the event are larger than a report takes' },
  too_many_requests: { status: 429, title: 'Too many requests: wait a moment' },
  too_many_lock_takes: { status: 429, title: 'The lock is taken too often: wait a moment' },
  too_many_events: { status: 429, title: 'Too many events just now: this one was not taken' },
  headers_too_large: { status: 431, title: 'The headers are larger than this interface takes' },
  internal: { status: 500, title: 'The agent failed; its log says more' },
  too_many_connections: { status: 503, title: 'Too many connections: close those that are not used' },
  too_many_listeners: { status: 503, title: 'Too many listeners: close those that are not used' },
  outbox_full: { status: 503, title: 'The outbox is full of events that the cloud has not answered: none is taken' },
  event_unkept: { status: 503, title: 'The disk does not take the event: it is in memory alone, and was not accepted' },
  lock_unkept: { status: 503, title: 'The disk does not take the change of the lock: it was not made' },
  stopping: { status: 503, title: 'The agent stops' },
} as const satisfies Record<string, { status: number; title: string }>;
export type LocalProblem = keyof typeof LOCAL_PROBLEMS;

/** Why the socket could not be opened. It is tried again; the agent runs without it meanwhile. */
export const LOCAL_SOCKET_ERRORS = {
  local_in_use: 'Another program answers on the socket',
  local_path_taken: 'What lies at the path is no socket: it is not touched',
  local_path_long: 'The path is longer than 103 bytes: a Unix socket takes hardly more',
  local_group_unknown: 'The machine has no such group',
  local_failed: 'The system does not let the agent open the socket',
} as const satisfies Record<string, string>;

export class LocalSocketError extends Error {
  override readonly name = 'LocalSocketError';
  readonly code: keyof typeof LOCAL_SOCKET_ERRORS;
  constructor(code: LocalSocketError['code'], detail: string, options?: ErrorOptions) {
    super(`${LOCAL_SOCKET_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** A request, read whole. */
export interface LocalRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly body: string;
  /** Aborts when whoever asked is gone. */
  readonly gone: AbortSignal;
}

/** What is answered: something once, or a stream of server-sent events. */
export type LocalReply = LocalAnswer | { readonly listen: (listener: LocalListener) => void };

export interface LocalAnswer {
  readonly status: number;
  readonly body: object;
  readonly retryAfterSeconds?: number;
  /** The methods that the address takes. */
  readonly allow?: string;
}

/** Somebody at the other end of a stream. */
export interface LocalListener {
  /** Whether all that was said before has left this process: whoever says no more until then holds one text at most. */
  isReady(): boolean;
  say(text: string): void;
  /** Says a last thing, and closes although it may not be heard. */
  end(text: string): void;
  readonly gone: AbortSignal;
}

/** What is behind the socket. */
export interface LocalServed {
  /** Before a request is read any further. @param connection its number @returns null: go on */
  admit(connection: number): LocalReply | null;
  /** Never rejects. */
  answer(request: LocalRequest): Promise<LocalReply>;
  /** A connection is over. */
  closed(connection: number): void;
}

/** A Unix socket that speaks HTTP. */
export interface LocalServer {
  /** @throws LocalSocketError */
  open(served: LocalServed): Promise<void>;
  /** Whether the socket still has its name: somebody may have removed it, or its directory. */
  isThere(): Promise<boolean>;
  /** Nobody new gets in; who is being answered has a moment to hear it. It may be opened again. */
  close(): Promise<void>;
}
