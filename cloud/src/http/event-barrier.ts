import { randomUUID } from 'node:crypto';
import { currentPosition, type Position } from '../devices/changes.ts';
import type { Store } from '../ports.ts';

/**
 * A position of the stream behind which nothing is untold. Notifications come in the order of commits, so when one
 * of our own is heard that was sent from the position, every change that was committed before it has been heard too.
 */
export class EventBarrier {
  readonly #store: Store;
  readonly #channel = `paddock_barrier_${randomUUID()}`;
  #waiting: { readonly token: string; readonly heard: () => void; readonly missed: (why: Error) => void } | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  /** @returns a function that stops listening */
  open(): Promise<() => Promise<void>> {
    const heard = (payload: string): void => {
      if (payload === this.#waiting?.token) this.#waiting.heard();
    };
    return this.#store.listen(this.#channel, heard, () => this.abandon());
  }

  /** One at a time. Rejects when the connection that listens was made anew meanwhile, or the barrier was abandoned. */
  async pass(): Promise<Position> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const token = randomUUID();
    this.#waiting = { token, heard: resolve, missed: reject };
    // Whoever fails first says so; the other's fate is nobody's any more.
    promise.catch(() => undefined);
    const position = await currentPosition(this.#store);
    await this.#store.query('SELECT pg_notify($1, $2)', [this.#channel, token]);
    await promise;
    return position;
  }

  abandon(): void {
    this.#waiting?.missed(new Error('What was notified meanwhile is not known'));
  }
}
