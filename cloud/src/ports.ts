import type { WallMs } from '@paddock/shared/time.ts';

/** The only way to know the time or to wait. No feature reads `Date` or sets a timer itself. */
export interface Clock {
  wall(): WallMs;
  /** Milliseconds that never go back; only differences mean anything. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Sql {
  /** Rows as objects; int8 as number, timestamptz as Date, jsonb parsed. */
  query<Row extends object = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** PostgreSQL 15 or newer. */
export interface Store extends Sql {
  /** Commits when `work` resolves, rolls back when it rejects. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /** Hears NOTIFY of every instance; reconnects by itself. @returns a function that stops listening */
  listen(channel: string, handler: (payload: string) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** A message as it came from the broker, stamped before anything else is done with it. */
export interface Inbound {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly receivedAt: WallMs;
}

export interface BrokerEvents {
  /** The broker acknowledges when this resolves; it never rejects. Held back only as back-pressure. */
  message(inbound: Inbound): Promise<void>;
  /** Whether devices can reach us through the broker, as far as this side can tell. */
  reachable(reachable: boolean): void;
}

/** MQTT 3.1.1 on the cloud's side: embedded, or a client of another broker. */
export interface Broker {
  open(events: BrokerEvents): Promise<void>;
  publish(topic: string, payload: string, options?: { retain?: boolean }): Promise<void>;
  close(): Promise<void>;
}
