import type { Random } from './random.ts';
import { HOUR, SECOND } from './spans.ts';

const NAMES = ['door', 'charging', 'paper', 'vandalism'] as const;

/** One change of a binary reading: when it truly was, and what the device's uptime was then. */
export interface Change {
  readonly name: string;
  readonly at: number;
  readonly uptime: number;
}

/** A device's binary readings. Each remembers its last change of this boot, as real readings do. */
export class Sensors {
  readonly urgent: boolean;
  readonly #random: Random;
  readonly #names: readonly string[];
  readonly #meanGapMs: number;
  readonly #last = new Map<string, Change>();

  constructor(random: Random) {
    this.#random = random;
    this.urgent = random.chance(0.5);
    this.#names = NAMES.slice(0, 1 + Math.floor(random.unit() * NAMES.length));
    this.#meanGapMs = random.logBetween(0.7 * HOUR, 8 * HOUR);
  }

  startOver(): void {
    this.#last.clear();
  }

  /** Single changes, and flurries of them: a door that is opened and closed. */
  untilNextChange(): number {
    return this.#random.chance(0.2) ? this.#random.between(2, 20) * SECOND : this.#random.exponential(this.#meanGapMs);
  }

  change(at: number, uptime: number): void {
    const name = this.#names[Math.floor(this.#random.unit() * this.#names.length)] ?? 'door';
    this.#last.set(name, { name, at, uptime });
  }

  changes(): readonly Change[] {
    return [...this.#last.values()];
  }
}
