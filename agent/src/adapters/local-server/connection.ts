import type { ServerResponse } from 'node:http';

/** Requests that wait for the answers to those before them. */
const MOST_QUEUED = 20;

/** One of those who connected. */
export class Connection {
  readonly number: number;
  /** There were too many when it came. */
  readonly isTooMuch: boolean;
  /** Aborts when it is closed. */
  readonly gone = new AbortController();
  /** Requests in a row. */
  refused = 0;
  /** Of the newest request, until it is answered. */
  response: ServerResponse | null = null;
  #queued = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(number: number, isTooMuch: boolean) {
    this.number = number;
    this.isTooMuch = isTooMuch;
  }

  get isFull(): boolean {
    return this.#queued >= MOST_QUEUED;
  }

  /** One after the other: what is asked second may be about what was asked first (RFC 9112, section 9.3.2). */
  inTurn(work: (before: Promise<void>) => Promise<void>): Promise<void> {
    this.#queued += 1;
    this.#last = work(this.#last).finally(() => void (this.#queued -= 1));
    return this.#last;
  }
}
