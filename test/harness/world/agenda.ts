import { TimeQueue } from './time-queue.ts';

/** What one device and its messages will do, and the moment that it is: true ms since the world began. */
export class Agenda {
  readonly #events = new TimeQueue<() => void>();
  #now = 0;

  get now(): number {
    return this.#now;
  }

  at(at: number, action: () => void): void {
    this.#events.push(at, action);
  }

  later(ms: number, action: () => void): void {
    this.at(this.#now + ms, action);
  }

  /** Lets the next thing happen. */
  step(): void {
    const event = this.#events.pop();
    if (event === null) throw new Error('Nothing will ever happen again');
    this.#now = event.at;
    event.item();
  }
}
