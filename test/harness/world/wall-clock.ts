import { DAY, HOUR, MINUTE, SECOND, WORLD_BEGAN_MS, YEAR } from './spans.ts';
import type { Random } from './random.ts';

/** What a device's wall clock is like, and how often it is met. */
const WALL_CLOCKS = [
  { weight: 48, kind: 'disciplined' }, // NTP: a small skew, except before the first connection of a boot
  { weight: 10, kind: 'free' }, // nobody sets it: seconds to minutes off, and drifting
  { weight: 9, kind: 'stepping' }, // set by seconds to hours, again and again
  { weight: 6, kind: 'stopping' }, // stands still now and then
  { weight: 7, kind: 'years-off' },
  { weight: 12, kind: 'dead-battery' }, // begins in 1970 with every boot
  { weight: 8, kind: 'future' }, // begins in 2035 with every boot
] as const;
export type WallClockKind = (typeof WALL_CLOCKS)[number]['kind'];

const STARTS_OVER_AT = { 'dead-battery': 0, future: Date.UTC(2035, 0, 1) } as const;

/** A device's wall clock: a claim that may be right. Asked in the order of time only. */
export class WallClock {
  readonly kind: WallClockKind;
  readonly #random: Random;
  /** Whether something sets a clock that started over, once there is a connection. */
  readonly #setWhenConnected: boolean;
  readonly #drift: number;
  #errorMs: number;
  #errorSince = 0;
  #stoppedAt: number | null = null;
  #nextTurn: number;

  constructor(random: Random) {
    this.#random = random;
    this.kind = random.pick(WALL_CLOCKS).kind;
    this.#setWhenConnected = this.kind === 'disciplined' || random.chance(0.5);
    this.#drift = this.kind === 'free' ? random.between(-100e-6, 100e-6) : 0;
    this.#errorMs = this.#firstError();
    this.#nextTurn = random.exponential(DAY);
  }

  boot(at: number): void {
    this.#stoppedAt = null;
    if (this.kind === 'dead-battery' || this.kind === 'future')
      this.#setError(at, STARTS_OVER_AT[this.kind] + this.#random.between(5, 30) * SECOND - (WORLD_BEGAN_MS + at));
    if (this.kind === 'disciplined') this.#setError(at, this.#random.normal() * SECOND);
  }

  connected(at: number): void {
    if (this.kind === 'disciplined') this.#setError(at, this.#random.normal() * 15);
    else if (this.#setWhenConnected && this.kind in STARTS_OVER_AT) this.#setError(at, this.#random.normal() * 40);
  }

  /** Whole ms since 1970. */
  read(at: number): number {
    while (at >= this.#nextTurn) this.#turn();
    const claimed = this.#stoppedAt ?? WORLD_BEGAN_MS + at + this.#errorMs + this.#drift * (at - this.#errorSince);
    return Math.floor(claimed);
  }

  #firstError(): number {
    switch (this.kind) {
      case 'free':
        return this.#random.sign() * this.#random.logBetween(SECOND, 10 * MINUTE);
      case 'years-off':
        return this.#random.sign() * this.#random.between(1, 12) * YEAR;
      case 'disciplined':
      case 'stepping':
      case 'stopping':
      case 'dead-battery':
      case 'future':
        return this.#random.normal() * 20;
    }
  }

  #turn(): void {
    const at = this.#nextTurn;
    this.#nextTurn = at + this.#random.exponential(DAY);
    if (this.kind === 'stepping') {
      const back = this.#random.chance(0.4);
      this.#setError(
        at,
        back ? this.#random.normal() * 20 : this.#random.sign() * this.#random.logBetween(SECOND, 12 * HOUR),
      );
    }
    if (this.kind !== 'stopping') return;
    if (this.#stoppedAt === null) this.#stoppedAt = WORLD_BEGAN_MS + at + this.#errorMs;
    else {
      this.#setError(at, this.#stoppedAt - (WORLD_BEGAN_MS + at));
      this.#stoppedAt = null;
      if (this.#random.chance(0.5)) this.#setError(at, this.#random.normal() * 20);
    }
  }

  #setError(at: number, errorMs: number): void {
    this.#errorMs = errorMs;
    this.#errorSince = at;
  }
}
