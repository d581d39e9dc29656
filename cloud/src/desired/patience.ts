/** How soon it is sent again to a device that does not take it up, and how seldom in the end. */
const FIRST_MS = 30_000;
const MOST_MS = 3_600_000;
/** Devices that lack what they shall be are few, or a fleet that comes back at once. */
const MAX_REMEMBERED = 50_000;

interface Tried {
  readonly version: number;
  readonly at: number;
  readonly pauseMs: number;
}

/**
 * Bounds how often desired state is sent again because a report shows that it is missing: a device that cannot take it
 * up, or does not know of desired state at all, gets it after 30 s, 1 min, 2 min up to once an hour.
 */
export class Patience {
  readonly #tried = new Map<string, Tried>();

  /** Whether it is time; then it counts as sent. @param now monotonic */
  mayTry(deviceId: string, version: number, now: number): boolean {
    const before = this.#tried.get(deviceId);
    const again = before?.version === version ? before : null;
    if (again !== null && now - again.at < again.pauseMs) return false;
    const pauseMs = again === null ? FIRST_MS : Math.min(again.pauseMs * 2, MOST_MS);
    this.#tried.delete(deviceId);
    this.#tried.set(deviceId, { version, at: now, pauseMs });
    const [oldest] = this.#tried.keys();
    if (this.#tried.size > MAX_REMEMBERED && oldest !== undefined) this.#tried.delete(oldest);
    return true;
  }

  /** It has what it shall have. */
  forget(deviceId: string): void {
    this.#tried.delete(deviceId);
  }
}
