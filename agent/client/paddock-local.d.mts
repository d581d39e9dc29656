/** What became of an event. */
export type Outcome =
  | { readonly id: string; readonly state: 'recorded'; readonly receivedAt?: string }
  | { readonly id: string; readonly state: 'rejected'; readonly code: string }
  | { readonly id: string; readonly state: 'dropped' }
  | { readonly id: string; readonly state: 'kept'; readonly why: 'offline' | 'timeout' | 'stopping' };

export interface Reading {
  /** Null when there is no value to trust: `reason` says why. */
  readonly value: boolean | number | string | null;
  readonly unit?: string;
  readonly ageMs: number | null;
  readonly quality?: 'good' | 'suspect' | 'bad';
  readonly reason?: string;
}

export interface Lock {
  readonly owner: string;
  readonly reason: string;
  readonly leftMs: number;
}

/** As `GET /v1/state` answers. */
export interface State {
  readonly device: string;
  readonly uptimeMs: number;
  readonly agent: { readonly version: string };
  readonly connection: { readonly online: boolean };
  readonly readings: Readonly<Record<string, Reading>>;
  readonly desired: {
    readonly epoch: number;
    readonly version: number;
    readonly state: Readonly<Record<string, unknown>>;
  } | null;
  readonly firmware: Readonly<Record<string, unknown>> | null;
  readonly lock: Lock | null;
  readonly applications: Readonly<
    Record<
      string,
      { readonly status: 'good' | 'bad' | 'silent'; readonly detail?: string; readonly ageMs: number | null }
    >
  >;
  readonly outbox: { readonly waiting: number; readonly droppedRoutine: number; readonly droppedEvents: number };
}

/** What the agent refused. Switch on `code`; `unreachable` says that no agent answered. */
export class PaddockError extends Error {
  readonly code: string;
}

export class PaddockLocal {
  constructor(socket: string);
  state(): Promise<State>;
  event(
    name: string,
    data?: Readonly<Record<string, unknown>>,
    options?: { readonly id?: string; readonly waitSeconds?: number; readonly tryForSeconds?: number },
  ): Promise<Outcome>;
  outcome(id: string, options?: { readonly waitSeconds?: number }): Promise<Outcome>;
  takeLock(owner: string, reason: string, seconds: number): Promise<Lock>;
  releaseLock(owner: string): Promise<void>;
  sayHealth(
    application: string,
    status: 'good' | 'bad',
    options?: { readonly detail?: string; readonly withinSeconds?: number },
  ): Promise<void>;
  /**
   * @param changed gets the whole state and the part that changed; null once no agent answers. What it throws is an
   * uncaught exception, as of any listener
   */
  follow(changed: (state: State | null, part: string) => void): () => void;
}
