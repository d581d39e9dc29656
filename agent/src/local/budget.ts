import type { UptimeMs } from '@paddock/shared/time.ts';

/** A token bucket's bounds. */
export interface Allowance {
  /** So many at once. */
  readonly most: number;
  readonly perSecond: number;
}

/** What one program of a kiosk asks for on a connection, and all of them together. */
export const PER_CONNECTION: Allowance = { most: 20, perSecond: 10 };
export const ALL_TOGETHER: Allowance = { most: 100, perSecond: 50 };

/** What makes flash wear out: each is written, and so is its release. */
export const LOCK_TAKES: Allowance = { most: 30, perSecond: 0.2 };

interface Bucket {
  readonly tokens: number;
  readonly at: UptimeMs;
}

const filled = ({ tokens, at }: Bucket, { most, perSecond }: Allowance, now: UptimeMs): number =>
  Math.min(most, tokens + ((now - at) * perSecond) / 1000);

/** @returns what says whether there is room for one more, and counts it then */
export function createAllowance(allowance: Allowance): (now: UptimeMs) => boolean {
  let bucket: Bucket | null = null;
  return (now) => {
    const tokens = bucket === null ? allowance.most : filled(bucket, allowance, now);
    bucket = { tokens: tokens < 1 ? tokens : tokens - 1, at: now };
    return tokens >= 1;
  };
}

/**
 * Who may ask now: every connection by itself, so that one that floods takes nothing from the others, and all together,
 * so that nobody gets round that by many connections. What one connection is refused costs the others nothing.
 */
export class Budget {
  readonly #connections = new Map<number, Bucket>();
  #all: Bucket | null = null;

  admits(connection: number, now: UptimeMs): boolean {
    const own = filled(
      this.#connections.get(connection) ?? { tokens: PER_CONNECTION.most, at: now },
      PER_CONNECTION,
      now,
    );
    const all = filled(this.#all ?? { tokens: ALL_TOGETHER.most, at: now }, ALL_TOGETHER, now);
    const isIn = own >= 1 && all >= 1;
    this.#connections.set(connection, { tokens: isIn ? own - 1 : own, at: now });
    this.#all = { tokens: isIn ? all - 1 : all, at: now };
    return isIn;
  }

  forget(connection: number): void {
    this.#connections.delete(connection);
  }
}
