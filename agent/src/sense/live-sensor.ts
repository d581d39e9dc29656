import type { Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';
import { readingOf } from './reading.ts';
import { isDiscrete, observe, settle, settlesAt, UNSEEN, type SensorInput, type SensorState } from './sensor.ts';
import type { SensorConfig } from './settings.ts';

/** Runs one sensor: keeps its state, and wakes up when a pending change counts. */
export class LiveSensor {
  readonly #config: SensorConfig;
  readonly #clock: Clock;
  readonly #closing: AbortSignal;
  #state: SensorState = UNSEEN;
  /** The clock segment that the state belongs to, and the last moment known to lie in it. */
  #segment: number;
  #seenAt: UptimeMs;
  /** One timer is enough: it looks at what is pending when it fires. */
  #isWaiting = false;

  constructor(config: SensorConfig, clock: Clock, closing: AbortSignal) {
    this.#config = config;
    this.#clock = clock;
    this.#closing = closing;
    this.#segment = clock.segment();
    this.#seenAt = clock.monotonic();
  }

  reading(now: UptimeMs): Reading {
    this.#keepSegment(now);
    return readingOf(this.#config, this.#state, now);
  }

  /** @param urgent is called when a change counts, now or after the debounce, if the sensor is marked urgent */
  input(input: SensorInput, urgent: () => void): void {
    this.#keepSegment(input.at);
    this.#become(observe(this.#config, this.#state, input), urgent);
    if (!this.#isWaiting) void this.#settleInTime(urgent);
  }

  /** To be called before the state is used: what was sampled before a suspend only looks young. */
  #keepSegment(now: UptimeMs): void {
    const segment = this.#clock.segment();
    // Whatever settles here was told by a reading at that moment; nothing urgent is left to tell.
    if (segment !== this.#segment)
      this.#state = observe(this.#config, this.#state, { kind: 'suspended', at: this.#seenAt });
    this.#segment = segment;
    this.#seenAt = now;
  }

  #become(state: SensorState, urgent: () => void): void {
    const hasChanged = state.changes > this.#state.changes;
    this.#state = state;
    if (hasChanged && isDiscrete(this.#config) && this.#config.urgent) urgent();
  }

  /** Without it an urgent change would wait for the next sample to be told. */
  async #settleInTime(urgent: () => void): Promise<void> {
    this.#isWaiting = true;
    for (let due = this.#due(); due !== null && !this.#closing.aborted; due = this.#due()) {
      await this.#clock.sleep(Math.max(1, due - this.#clock.monotonic()), this.#closing);
      this.#keepSegment(this.#clock.monotonic());
      this.#become(settle(this.#config, this.#state, this.#clock.monotonic()), urgent);
    }
    this.#isWaiting = false;
  }

  #due(): number | null {
    return settlesAt(this.#config, this.#state);
  }
}
