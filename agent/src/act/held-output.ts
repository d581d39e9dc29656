import type { Clock } from '../ports.ts';
import { GpioError, type GpioChip, type GpioCode, type OutputLine } from '../ports-gpio.ts';
import { reopenDelayMs } from '../sense/port-life.ts';
import type { OutputConfig } from './settings.ts';

/** An output as it is. */
export interface OutputState {
  /** What it shall be: its safe level until somebody sets another one. */
  readonly wanted: boolean;
  /** What was read back last; null while it is not held. */
  readonly level: boolean | null;
  readonly fault: { readonly code: GpioCode; readonly detail: string } | null;
}

export interface HeldOutputOptions {
  readonly name: string;
  readonly config: OutputConfig;
  readonly chip: () => Promise<GpioChip>;
  readonly clock: Clock;
  readonly random: () => number;
  /** Hears when a fault begins, changes or ends. */
  readonly changed: (fault: OutputState['fault']) => void;
}

/** How often what is on the pin is read back: a chip that went away shows by that alone. */
const LOOK_MS = 1000;

/**
 * Holds one line from its start to its close, and asks for it again whenever it is lost: then with what it shall be,
 * because nobody has said anything else meanwhile.
 */
export class HeldOutput {
  readonly #options: HeldOutputOptions;
  readonly #closing = new AbortController();
  #line: OutputLine | null = null;
  #state: OutputState;
  #running: Promise<void> = Promise.resolve();
  #cause: GpioError | null = null;

  constructor(options: HeldOutputOptions) {
    this.#options = options;
    this.#state = { wanted: options.config.safe, level: null, fault: null };
  }

  state(): OutputState {
    return this.#state;
  }

  /** Resolves when the line was asked for once, whether or not it could be had. */
  async open(): Promise<void> {
    await this.#hold();
    this.#running = this.#keep();
  }

  /** @returns what was read back. @throws GpioError when the line is not held, or cannot be set */
  set(wanted: boolean): boolean {
    this.#state = { ...this.#state, wanted };
    if (this.#line === null) throw this.#cause ?? new GpioError('gpio_chip_gone', this.#options.name);
    return this.#on(this.#line, (line) => {
      line.set(wanted);
      return line.level();
    });
  }

  /** Without waiting for anything: for the moment at which the process ends. Never throws. */
  release(): void {
    this.#closing.abort();
    const line = this.#line;
    this.#line = null;
    try {
      line?.set(this.#options.config.safe);
    } catch {
      // The chip is gone, and nothing can be set any more.
    }
    line?.close();
  }

  async close(): Promise<void> {
    this.release();
    await this.#running;
  }

  async #keep(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#closing;
    let attempt = 0;
    while (!signal.aborted) {
      attempt = this.#line === null ? attempt + 1 : 0;
      await clock.sleep(this.#line === null ? reopenDelayMs(attempt, random()) : LOOK_MS, signal);
      if (signal.aborted) return;
      if (this.#line === null) await this.#hold();
      else this.#look(this.#line);
    }
  }

  async #hold(): Promise<void> {
    const { name, config, chip } = this.#options;
    try {
      const opened = await chip();
      if (this.#closing.signal.aborted) return;
      this.#line = opened.output(config.target, this.#state.wanted, `paddock:${name}`);
      this.#look(this.#line);
    } catch (cause) {
      this.#lose(cause);
    }
  }

  #look(held: OutputLine): void {
    try {
      this.#on(held, (line) => line.level());
    } catch (cause) {
      if (!(cause instanceof GpioError)) throw cause;
    }
  }

  #on(line: OutputLine, work: (line: OutputLine) => boolean): boolean {
    try {
      const level = work(line);
      this.#become({ ...this.#state, level, fault: null });
      return level;
    } catch (cause) {
      this.#lose(cause);
      throw cause;
    }
  }

  #lose(cause: unknown): void {
    if (!(cause instanceof GpioError)) throw cause;
    this.#line?.close();
    this.#line = null;
    this.#cause = cause;
    this.#become({ ...this.#state, level: null, fault: { code: cause.code, detail: cause.message } });
  }

  #become(state: OutputState): void {
    const isNews = state.fault?.detail !== this.#state.fault?.detail;
    this.#state = state;
    if (isNews) this.#options.changed(state.fault);
  }
}
