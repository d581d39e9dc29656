import type { AddressGate, Clock } from '../ports.ts';
import { addressGroup } from './address-group.ts';

export interface AddressLimits {
  /** Connections at once. */
  readonly connections: number;
  /** Handshakes a second on average; five times as many in a row. */
  readonly handshakesPerSecond: number;
}

interface Counted {
  connections: number;
  /** Handshakes that are allowed now, as of `at` (a token bucket). */
  allowed: number;
  at: number;
}

const BURST_S = 5;
/** Addresses that are counted before those without connections are looked through. */
const LOOK_THROUGH_AT = 10_000;
/** All of them are looked through: not for each that comes. */
const LOOK_EVERY_MS = 1_000;

/**
 * Bounds what one address may take of a server before anybody knows who it is: connections at once and handshakes a
 * second. Memory: one row for each address that has connections or had some within seconds.
 */
export class Addresses implements AddressGate {
  readonly #limits: AddressLimits;
  readonly #clock: Clock;
  readonly #counted = new Map<string, Counted>();
  #lookedAt = -Infinity;

  constructor(limits: AddressLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  enter(address = ''): ReturnType<AddressGate['enter']> {
    const counted = this.#of(addressGroup(address));
    if (counted.allowed < 1) return 'address_too_fast';
    counted.allowed -= 1;
    if (counted.connections >= this.#limits.connections) return 'address_too_many';
    counted.connections += 1;
    return null;
  }

  leave(address = ''): void {
    const counted = this.#counted.get(addressGroup(address));
    if (counted !== undefined) counted.connections -= 1;
  }

  #of(network: string): Counted {
    const now = this.#clock.monotonic();
    const { handshakesPerSecond } = this.#limits;
    const most = handshakesPerSecond * BURST_S;
    const known = this.#counted.get(network);
    if (known !== undefined) {
      known.allowed = Math.min(most, known.allowed + ((now - known.at) / 1000) * handshakesPerSecond);
      known.at = now;
      return known;
    }
    if (this.#counted.size >= LOOK_THROUGH_AT && now - this.#lookedAt >= LOOK_EVERY_MS) this.#forget(now);
    const made = { connections: 0, allowed: most, at: now };
    this.#counted.set(network, made);
    return made;
  }

  /** Those that nothing is known of any more: no connection, and a full allowance. */
  #forget(now: number): void {
    this.#lookedAt = now;
    for (const [network, { connections, at }] of this.#counted)
      if (connections === 0 && now - at > BURST_S * 1000) this.#counted.delete(network);
  }
}
