import { DAY, HOUR, MINUTE } from './spans.ts';
import type { Random } from './random.ts';

const WALK_STEP_MS = 10 * MINUTE;
/** How the wander is shared out between the day, the hour and a slow random walk: together they never exceed it. */
const SHARES = { day: 5 / 12, hour: 3 / 12, walk: 4 / 12 } as const;
const PPM = 1e-6;

interface Wave {
  readonly amplitude: number;
  readonly periodMs: number;
  readonly phase: number;
}

/**
 * What a device counts with: an oscillator with a constant error, and temperature on top of it. Its total deviation
 * from the constant never exceeds `wanderPpm`. Asked in the order of time only.
 */
export class Crystal {
  readonly rateError: number;
  readonly #random: Random;
  readonly #waves: readonly Wave[];
  readonly #walkLimit: number;
  #walk: number;
  #walkedUntil = 0;
  #walkedMs = 0;

  constructor(random: Random, wanderPpm: number) {
    this.#random = random;
    this.rateError = random.between(-100, 100) * PPM;
    const wave = (share: number, periodMs: number): Wave => ({
      amplitude: random.between(0.3, 1) * share * wanderPpm * PPM,
      periodMs,
      phase: random.between(0, 2 * Math.PI),
    });
    this.#waves = [wave(SHARES.day, DAY), wave(SHARES.hour, HOUR)];
    this.#walkLimit = SHARES.walk * wanderPpm * PPM;
    this.#walk = random.between(-1, 1) * this.#walkLimit;
  }

  /** How many ms it has counted by `at`: true ms since the world began plus what it was fast by. */
  countAt(at: number): number {
    let fast = this.rateError * at + this.#walkedBy(at);
    for (const { amplitude, periodMs, phase } of this.#waves) {
      const turn = (2 * Math.PI) / periodMs;
      fast += (amplitude / turn) * (Math.cos(phase) - Math.cos(phase + turn * at));
    }
    return at + fast;
  }

  #walkedBy(at: number): number {
    while (at >= this.#walkedUntil + WALK_STEP_MS) {
      this.#walkedMs += this.#walk * WALK_STEP_MS;
      this.#walkedUntil += WALK_STEP_MS;
      const step = this.#walk + this.#random.normal() * 0.05 * this.#walkLimit;
      this.#walk = Math.max(-this.#walkLimit, Math.min(this.#walkLimit, step));
    }
    return this.#walkedMs + this.#walk * (at - this.#walkedUntil);
  }
}
