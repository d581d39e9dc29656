import type { Clock } from '../ports.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { reopenDelayMs } from '../sense/port-life.ts';
import type { Actuator } from './actuators.ts';
import { faultOf, mismatch, OUTPUT_ERRORS, type OutputFault } from './codes.ts';
import { nextStep, UNTOLD, type SentState, type Step } from './next-step.ts';
import type { Output, OutputState } from './output.ts';
import type { OutputValue } from './settings.ts';

export interface SentOutputOptions {
  readonly safe: OutputValue | null;
  readonly actuator: Actuator;
  readonly retries: number;
  readonly checkMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Hears of every change of the state. */
  readonly changed: () => void;
}

/** How long hardware has to become safe at the end. */
const SAFE_WITHIN_MS = 1_500;
const GONE: OutputFault = {
  code: 'output_port_gone',
  reason: 'unplugged',
  detail: OUTPUT_ERRORS.output_port_gone,
};

/** An output that has to be told what to be, by a port that it shares. */
export class SentOutput implements Output {
  readonly #options: SentOutputOptions;
  readonly #closing = new AbortController();
  #woken = new AbortController();
  #state: SentState;
  #running: Promise<void> = Promise.resolve();
  /** Failures in a row. */
  #failures = 0;

  constructor(options: SentOutputOptions) {
    this.#options = options;
    this.#state = { ...UNTOLD, wanted: options.safe };
  }

  state(): OutputState {
    const { wanted, actual, fault } = this.#state;
    return { wanted, actual, fault };
  }

  want(wanted: OutputValue | null): void {
    if (wanted === this.#state.wanted) return;
    this.#failures = 0;
    this.#become({ ...this.#state, wanted, again: null });
    this.#woken.abort();
  }

  open(): Promise<void> {
    this.#running = this.#keep();
    return Promise.resolve();
  }

  release(): void {
    this.#closing.abort();
  }

  async close(): Promise<void> {
    const { safe, clock, actuator } = this.#options;
    this.#closing.abort();
    const safely = this.#running.then(async () => {
      const isSafe = this.#state.actual === safe && this.#state.told?.life === actuator.life();
      if (safe === null || isSafe || actuator.life() === 0) return;
      await this.#perform({ kind: 'tell', value: safe });
    });
    const over = new AbortController();
    await Promise.race([safely, clock.sleep(SAFE_WITHIN_MS, over.signal)]);
    over.abort();
  }

  async #keep(): Promise<void> {
    const { clock, actuator, checkMs } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      this.#woken = new AbortController();
      const life = actuator.life();
      const isGone = this.#state.fault?.code === GONE.code;
      if (life === 0 && !isGone) this.#lost(GONE);
      // Nothing will be told, so nothing else would end it.
      if (life !== 0 && isGone && this.#state.wanted === null) this.#become({ ...this.#state, fault: null });
      const context = { now: clock.monotonic(), life, checkMs: actuator.look === null ? null : checkMs };
      const step = nextStep(this.#state, context);
      if (step.kind === 'wait') await clock.sleep(step.ms, AbortSignal.any([signal, this.#woken.signal]));
      else await this.#perform(step);
    }
  }

  async #perform(step: Exclude<Step, { kind: 'wait' }>): Promise<void> {
    const { actuator, retries } = this.#options;
    const life = actuator.life();
    const work = step.kind === 'tell' ? () => actuator.set(step.value) : actuator.look;
    if (work === null) return;
    for (let left = retries; ; left -= 1) {
      try {
        return this.#found(step, await work(), life);
      } catch (cause) {
        const fault = faultOf(cause);
        if (left <= 0 || fault.code === 'output_port_gone' || fault.code === 'output_refused') return this.#lost(fault);
      }
    }
  }

  /** What the hardware is now, as it says. */
  #found(step: Exclude<Step, { kind: 'wait' }>, actual: OutputValue, life: number): void {
    const lookedAt = this.#options.clock.monotonic();
    const state = { ...this.#state, actual, lookedAt };
    if (step.kind === 'tell' && actual !== step.value) return this.#lost(mismatch(actual, step.value), state);
    this.#failures = 0;
    const told = step.kind === 'tell' ? { value: step.value, life } : state.told;
    // Somebody else has set it, or it forgot: it is told again.
    const isOther = step.kind === 'look' && state.wanted !== null && actual !== state.wanted;
    this.#become({ ...state, told: isOther ? null : told, fault: null, again: null });
  }

  #lost(fault: OutputFault, state: SentState = { ...this.#state, actual: null }): void {
    const { clock, random, actuator } = this.#options;
    this.#failures += 1;
    const at = uptimeMs(clock.monotonic() + reopenDelayMs(this.#failures, random()));
    this.#become({ ...state, told: null, fault, again: { at, life: actuator.life() } });
  }

  #become(state: SentState): void {
    this.#state = state;
    this.#options.changed();
  }
}
