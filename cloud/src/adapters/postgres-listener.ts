import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

export type ListenerLog = (message: string, error?: unknown) => void;

interface Subscriber {
  readonly handler: (payload: string) => void;
  readonly missed: (() => void) | undefined;
}

const BACK_OFF = { firstMs: 100, maxMs: 5_000 } as const;

/** One connection that listens for every channel, made anew with back-off whenever it breaks. */
export class PostgresListener {
  readonly #connect: () => pg.Client;
  readonly #log: ListenerLog | undefined;
  readonly #channels = new Map<string, Set<Subscriber>>();
  readonly #closing = new AbortController();
  #client: pg.Client | undefined;
  #connecting: Promise<pg.Client> | undefined;

  constructor(connect: () => pg.Client, log?: ListenerLog) {
    this.#connect = connect;
    this.#log = log;
  }

  /** Resolves when the database listens. @returns a function that stops it */
  async listen(channel: string, subscriber: Subscriber): Promise<() => Promise<void>> {
    const subscribers = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, subscribers.add(subscriber));
    const client = await this.#connected();
    await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
    return () => this.#unlisten(channel, subscriber);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('The store is closed'));
    await this.#connecting?.catch(() => undefined);
    await this.#client?.end();
    this.#client = undefined;
  }

  async #unlisten(channel: string, subscriber: Subscriber): Promise<void> {
    const subscribers = this.#channels.get(channel);
    subscribers?.delete(subscriber);
    if (subscribers?.size !== 0) return;
    this.#channels.delete(channel);
    await this.#client?.query(`UNLISTEN ${pg.escapeIdentifier(channel)}`).catch(() => undefined);
  }

  #connected(): Promise<pg.Client> {
    if (this.#client) return Promise.resolve(this.#client);
    this.#connecting ??= this.#persist().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async #persist(): Promise<pg.Client> {
    for (let delayMs: number = BACK_OFF.firstMs; ; delayMs = Math.min(delayMs * 2, BACK_OFF.maxMs)) {
      this.#closing.signal.throwIfAborted();
      try {
        return await this.#open();
      } catch (error) {
        this.#log?.(`cannot listen to the database, next try in ${delayMs} ms`, error);
        await sleep(delayMs, undefined, { signal: this.#closing.signal });
      }
    }
  }

  async #open(): Promise<pg.Client> {
    const client = this.#connect();
    client.on('error', () => this.#lost(client));
    client.on('end', () => this.#lost(client));
    client.on('notification', ({ channel, payload }) => this.#deliver(channel, payload ?? ''));
    try {
      await client.connect();
      for (const channel of this.#channels.keys()) await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    this.#client = client;
    return client;
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client || this.#closing.signal.aborted) return;
    this.#client = undefined;
    this.#log?.('the connection that listens to the database broke');
    void this.#connected().then(
      () => this.#tellMissed(),
      () => undefined,
    );
  }

  #tellMissed(): void {
    for (const subscribers of this.#channels.values()) for (const { missed } of subscribers) missed?.();
  }

  #deliver(channel: string, payload: string): void {
    for (const { handler } of this.#channels.get(channel) ?? []) {
      try {
        handler(payload);
      } catch (error) {
        // Whoever reaches the database may notify anything: thrown on, it would end the process.
        this.#log?.(`a notification on ${channel} could not be handled`, error);
      }
    }
  }
}
