import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';
import type { LocalListener } from '../ports-local.ts';
import { codeOf, createQuiet, type Log } from '../report/log.ts';
import { LocalError } from './problem.ts';
import { changesBetween, type LocalState } from './state.ts';

export const MOST_LISTENERS = 8;
/** How often it is looked for changes, while anybody listens. */
const LOOK_EVERY_MS = 200;
/** So that both ends notice that the other one is gone. */
const BEAT_EVERY_MS = 15_000;
/** Who has not read for so long is cut off. */
const UNREAD_FOR_MS = 30_000;

interface Listening {
  readonly listener: LocalListener;
  /** What it was told last: it is told what differs from that, however much happened in between. Null: everything. */
  told: LocalState | null;
  saidAt: UptimeMs;
  /** Since when it has not read what was said; null: it has. */
  unreadSince: UptimeMs | null;
}

/** What a stream ends with, when it ends from here. */
export const ENDINGS = {
  listener_too_slow: 'What was sent has not been read for half a minute',
  stopping: 'The agent stops',
} as const satisfies Record<string, string>;

const changesText = (before: LocalState, after: LocalState): string =>
  changesBetween(before, after)
    .map(({ part, value }) => textOf(part, value))
    .join('');

const textOf = (event: string, data: unknown): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
const endingOf = (code: keyof typeof ENDINGS): string => textOf('end', { code, title: ENDINGS[code] });

/**
 * Tells changes of state to whoever listens. Nothing is queued for a slow one: it is told the difference when it has
 * read what it was told before, so it costs one text at most.
 */
export class Listeners {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #quietSlow: ReturnType<typeof createQuiet>;
  readonly #quietUnread: ReturnType<typeof createQuiet>;
  readonly #collect: () => Promise<LocalState>;
  readonly #stopping = new AbortController();
  readonly #all = new Set<Listening>();
  #isLooking = false;

  constructor(clock: Clock, log: Log, collect: () => Promise<LocalState>) {
    this.#clock = clock;
    this.#log = log;
    [this.#quietSlow, this.#quietUnread] = [createQuiet(clock), createQuiet(clock)];
    this.#collect = collect;
  }

  /** Takes somebody in, who is told everything first. @throws LocalError `too_many_listeners`, `stopping` */
  add(): (listener: LocalListener) => void {
    if (this.#stopping.signal.aborted) throw new LocalError('stopping');
    if (this.#all.size >= MOST_LISTENERS) throw new LocalError('too_many_listeners');
    return (listener) => {
      const listening: Listening = { listener, told: null, saidAt: this.#clock.monotonic(), unreadSince: null };
      this.#all.add(listening);
      listener.gone.addEventListener('abort', () => this.#all.delete(listening));
      if (!this.#isLooking) void this.#look();
    };
  }

  stop(): void {
    this.#stopping.abort();
    for (const { listener } of this.#all) listener.end(endingOf('stopping'));
    this.#all.clear();
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping;
    this.#isLooking = true;
    while (this.#all.size > 0 && !signal.aborted) {
      const state = await this.#collect().catch((cause: unknown) => this.#tellUnread(cause));
      const now = this.#clock.monotonic();
      if (state !== null) for (const listening of this.#all) this.#tell(listening, state, now);
      await this.#clock.sleep(LOOK_EVERY_MS, signal);
    }
    this.#isLooking = false;
  }

  /** A disk that cannot be read for a moment ends no stream. */
  #tellUnread(cause: unknown): null {
    const fields = { code: 'local_state_unread', cause: codeOf(cause), err: cause };
    this.#quietUnread((times) => this.#log.warn({ ...fields, times }, 'The state cannot be told to those who listen'));
    return null;
  }

  #tell(listening: Listening, state: LocalState, now: UptimeMs): void {
    const { listener, told, saidAt, unreadSince } = listening;
    if (!listener.isReady()) {
      listening.unreadSince = unreadSince ?? now;
      if (now - listening.unreadSince >= UNREAD_FOR_MS) this.#cutOff(listening);
      return;
    }
    listening.unreadSince = null;
    const text = told === null ? `retry: 1000\n${textOf('state', state)}` : changesText(told, state);
    const isDue = text === '' && now - saidAt >= BEAT_EVERY_MS;
    if (text === '' && !isDue) return;
    listener.say(isDue ? ': beat\n\n' : text);
    listening.told = state;
    listening.saidAt = now;
  }

  #cutOff(listening: Listening): void {
    this.#all.delete(listening);
    this.#quietSlow((times) => this.#log.warn({ code: 'listener_too_slow', times }, ENDINGS.listener_too_slow));
    listening.listener.end(endingOf('listener_too_slow'));
  }
}
