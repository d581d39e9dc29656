import type { Clock } from '../ports.ts';
import { GpioError, type GpioChip, type OutputLine } from '../ports-gpio.ts';
import { reopenDelayMs } from '../sense/port-life.ts';
import { faultOf, mismatch } from './codes.ts';
import type { Output, OutputState } from './output.ts';
import type { LineConfig, OutputValue } from './settings.ts';

export interface HeldOutputOptions {
  readonly name: string;
  readonly config: LineConfig;
  readonly chip: () => Promise<GpioChip>;
  readonly clock: Clock;
  readonly random: () => number;
  /** Hears of every change of the state. */
  readonly changed: () => void;
}

/** How often what is on the pin is read back: a chip that went away shows by that alone. */
const LOOK_MS = 1000;

/**
 * Holds one line from its start to its close, and asks for it again whenever it is lost: then with what it shall be,
 * because nobody has said anything else meanwhile.
 */
export class HeldOutput implements Output {
  readonly #options: HeldOutputOptions;
  readonly #closing = new AbortController();
  #line: OutputLine | null = null;
  #state: OutputState & { readonly wanted: boolean };
  #running: Promise<void> = Promise.resolve();

  constructor(options: HeldOutputOptions) {
    this.#options = options;
    this.#state = { wanted: options.config.safe, actual: null, fault: null };
  }

  state(): OutputState {
    return this.#state;
  }

  /** Resolves when the line was asked for once, whether or not it could be had. */
  async open(): Promise<void> {
    await this.#hold();
    this.#running = this.#keep();
  }

  want(value: OutputValue | null): void {
    const wanted = value ?? this.#options.config.safe;
    if (typeof wanted !== 'boolean' || wanted === this.#state.wanted) return;
    this.#state = { ...this.#state, wanted };
    if (this.#line !== null)
      this.#on(this.#line, (line) => {
        line.set(wanted);
        return line.level();
      });
  }

  /** Without waiting for anything: for the moment at which the process ends. Never throws. */
  release(): void {
    this.#closing.abort();
    const line = this.#line;
    this.#line = null;
    quietly(() => line?.set(this.#options.config.safe));
    quietly(() => line?.close());
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
    this.#on(held, (line) => {
      const { wanted } = this.#state;
      if (line.level() !== wanted) line.set(wanted);
      return line.level();
    });
  }

  #on(line: OutputLine, work: (line: OutputLine) => boolean): void {
    try {
      const actual = work(line);
      const { wanted } = this.#state;
      // What is not driven to both sides may be held on the other one by somebody else.
      const isWrong = actual !== wanted && this.#options.config.target.drive === 'push-pull';
      this.#become({ wanted, actual, fault: isWrong ? mismatch(actual, wanted) : null });
    } catch (cause) {
      this.#lose(cause);
    }
  }

  #lose(cause: unknown): void {
    if (!(cause instanceof GpioError)) throw cause;
    const line = this.#line;
    this.#line = null;
    quietly(() => line?.close());
    this.#become({ ...this.#state, actual: null, fault: faultOf(cause) });
  }

  #become(state: OutputState & { readonly wanted: boolean }): void {
    this.#state = state;
    this.#options.changed();
  }
}

/** Where the chip is gone, nothing can be set or closed any more, and other outputs are waiting. */
function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // Whoever asks for the line again hears of it.
  }
}
