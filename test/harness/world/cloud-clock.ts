import { Random } from './random.ts';
import { DAY, HOUR, MINUTE, SECOND, WORLD_BEGAN_MS } from './spans.ts';

/** How the cloud tells the time in a world. */
export interface CloudClockSpec {
  /** Its clock swings by up to so many ms, slowly. */
  readonly swingMs: number;
  /** What it says of itself on each line; null when it says nothing. */
  readonly saysErrorMs: number | null;
  /** It is set wrong by this much, now and then, for minutes to hours; 0 for never. */
  readonly stepMs: number;
}

interface Step {
  readonly from: number;
  readonly until: number;
  readonly byMs: number;
}

/** The clock that stamps arrivals and answers. May be asked about any moment, in any order. */
export class CloudClock {
  readonly saysErrorMs: number | null;
  readonly #spec: CloudClockSpec;
  readonly #random: Random;
  readonly #steps: Step[] = [];
  #plannedUntil = 0;

  constructor(seed: number, spec: CloudClockSpec) {
    this.saysErrorMs = spec.saysErrorMs;
    this.#spec = spec;
    this.#random = new Random(seed, -1);
  }

  /** Ms since 1970 as the cloud would write them down at this moment of the world: whole, rounded down. */
  stamp(at: number): number {
    const { swingMs } = this.#spec;
    const swing = swingMs === 0 ? 0 : swingMs * Math.sin((2 * Math.PI * at) / (5 * HOUR));
    return Math.floor(WORLD_BEGAN_MS + at + swing + this.setWrongBy(at));
  }

  setWrongBy(at: number): number {
    if (this.#spec.stepMs === 0) return 0;
    while (this.#plannedUntil <= at) this.#plan();
    return this.#steps.findLast(({ from }) => from <= at)?.byMs ?? 0;
  }

  /** From a message's arrival to its answer's departure: a few ms to a second. */
  static workMs(random: Random): number {
    return random.chance(0.95) ? random.logBetween(2, 60) : random.logBetween(60, SECOND);
  }

  #plan(): void {
    const from = this.#plannedUntil + this.#random.exponential(DAY);
    const until = from + this.#random.logBetween(10 * MINUTE, 8 * HOUR);
    this.#steps.push({ from, until, byMs: this.#random.sign() * this.#spec.stepMs }, { from: until, until, byMs: 0 });
    this.#plannedUntil = until;
  }
}
