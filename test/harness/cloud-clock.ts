import type { Clock } from '@paddock/cloud/ports.ts';
import { wallMs } from '@paddock/shared/time.ts';

/** Virtual time for the cloud: nothing passes, and nobody wakes, until a test says so. */
export class CloudClock implements Clock {
  #wall: number;
  #monotonic = 1_000;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  constructor(startMs: number) {
    this.#wall = startMs;
  }

  wall = () => wallMs(this.#wall);
  monotonic = (): number => this.#monotonic;

  sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      this.#sleepers.push({ at: this.#monotonic + ms, wake: resolve });
      signal?.addEventListener('abort', () => resolve());
    });

  advance(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
    const due = this.#sleepers.filter(({ at }) => at <= this.#monotonic);
    this.#sleepers = this.#sleepers.filter(({ at }) => at > this.#monotonic);
    for (const { wake } of due) wake();
  }

  /** Sets the wall clock only, as an operator or NTP would. */
  setWall(ms: number): void {
    this.#wall = ms;
  }
}
