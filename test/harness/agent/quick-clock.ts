import { uptimeMs, wallMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '@paddock/agent/ports.ts';

/** Time that passes as soon as somebody waits for it: a story of days is over in a second. */
export class QuickClock implements Clock {
  #now = 1_000;
  /** Called before each wait. */
  waits: () => void = () => {};

  wall = () => wallMs(Date.UTC(2026, 10, 23) + this.#now);
  monotonic = (): UptimeMs => uptimeMs(this.#now);
  segment = () => 0;

  jump(ms: number): void {
    this.#now += ms;
  }

  sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    this.waits();
    // Whoever waits for a day waits to be woken.
    const isLong = ms >= 24 * 60 * 60_000;
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      signal?.addEventListener('abort', () => resolve(), { once: true });
      if (isLong) return;
      setImmediate(() => {
        if (!signal?.aborted) this.#now += ms;
        resolve();
      });
    });
  };
}
