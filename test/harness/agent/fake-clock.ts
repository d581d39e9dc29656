import { uptimeMs, wallMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '@paddock/agent/ports.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** Virtual time: nothing passes until a test says so. */
export class FakeClock implements Clock {
  #now = 1_000;
  #wall = Date.UTC(2026, 10, 23);
  #suspendedMs = 0;
  #segment = 0;
  #sleepers: Sleeper[] = [];

  wall = () => wallMs(this.#wall);
  monotonic = (): UptimeMs => uptimeMs(this.#now);
  segment = () => this.#segment;

  sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const sleeper = { at: this.#now + Math.max(0, ms), wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        resolve();
      });
    });

  /** Sets the wall clock only, as an operator or NTP would. */
  setWall(ms: number): void {
    this.#wall = ms;
  }

  /** What the time truly is, whatever the wall clock says. */
  truth = () => wallMs(Date.UTC(2026, 10, 23) + this.#now - 1_000 + this.#suspendedMs);

  suspend(ms = 0): void {
    this.#segment += 1;
    this.#suspendedMs += ms;
  }

  /** Lets time pass while nothing runs. */
  skip(ms: number): void {
    this.#moveTo(this.#now + ms);
  }

  /** Lets time pass and wakes sleepers in their order, with what they set off in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next);
      this.#moveTo(Math.max(this.#now, next.at));
      next.wake();
      await turn();
    }
    this.#moveTo(end);
    await turn();
  }

  #next(end: number): Sleeper | undefined {
    return this.#sleepers.filter((sleeper) => sleeper.at <= end).toSorted((a, b) => a.at - b.at)[0];
  }

  #moveTo(now: number): void {
    this.#wall += now - this.#now;
    this.#now = now;
  }
}

/** Lets promises run that wait for nothing but each other, and the platform's cryptography. */
async function turn(): Promise<void> {
  for (let i = 0; i < 4; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits in real time for something that must come: cryptography runs on threads of its own. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 20_000; i += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error(`It never came to this: ${what}`);
}
