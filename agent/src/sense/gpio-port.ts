import type { Clock, PortLoss, PortStatus, SensorPort, SensorSink } from '../ports.ts';
import { GpioError, type Gpio, type GpioChip, type GpioCode } from '../ports-gpio.ts';
import { PinLine, type WantedPin } from './pin-line.ts';
import { PortLife } from './port-life.ts';
import type { GpioConfig } from './settings.ts';
import { createUnitRest } from './unit-rest.ts';

export interface GpioPortOptions {
  readonly name: string;
  readonly config: Pick<GpioConfig, 'chip' | 'pollMs'>;
  readonly sensors: ReadonlyMap<string, WantedPin>;
  /** Loaded when the first chip is opened. */
  readonly gpio: () => Promise<Gpio>;
  readonly clock: Clock;
  readonly random: () => number;
}

/** The chip itself, rather than one of its lines. */
const OF_THE_CHIP: readonly GpioCode[] = ['gpio_chip_gone', 'gpio_chip_missing', 'gpio_chip_foreign', 'gpio_denied'];

/** A question to a chip stops the whole agent until it is answered: after one that took so long others have their turn. */
const SLOW_MS = 20;

/** A GPIO chip, whose lines are asked for one by one: one that is in use is no reason not to have the others. */
export class GpioPort implements SensorPort {
  readonly name: string;
  readonly #options: GpioPortOptions;
  readonly #life: PortLife;
  readonly #lines: { readonly sensor: string; readonly line: PinLine }[] = [];
  readonly #rest = createUnitRest();
  /** What is wrong with which sensor's line, until it is well. */
  readonly #complaints = new Map<string, string>();
  #sink: SensorSink | null = null;
  #chip: GpioChip | null = null;
  #lost: (cause: unknown) => void = () => {};

  constructor(options: GpioPortOptions) {
    this.name = options.name;
    this.#options = options;
    const course = {
      connect: (lost: (loss: PortLoss) => void) => this.#connect(lost),
      serve: (signal: AbortSignal) => this.#attend(signal),
      disconnect: () => this.#closeLines(),
      lost: ({ reason }: PortLoss) => {
        for (const sensor of options.sensors.keys()) this.#sink?.fault(sensor, reason, options.clock.monotonic());
      },
    };
    this.#life = new PortLife(course, options.clock, options.random);
  }

  open(sink: SensorSink): void {
    this.#sink = sink;
    for (const [sensor, wanted] of this.#options.sensors) {
      const { clock } = this.#options;
      const line = new PinLine({
        ...wanted,
        sensor,
        clock,
        sink,
        failed: (cause) => this.#failed(sensor, line, cause),
      });
      this.#lines.push({ sensor, line });
    }
    this.#life.start();
  }

  status(): PortStatus {
    return this.#life.status();
  }

  close(): Promise<void> {
    return this.#life.close();
  }

  async #connect(lost: (loss: PortLoss) => void): Promise<void> {
    this.#chip = (await this.#options.gpio()).chip(this.#options.config.chip);
    this.#lost = (cause) => {
      if (cause instanceof GpioError) lost({ reason: cause.reason, code: cause.code, detail: cause.message });
    };
  }

  async #attend(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      this.#rest.nextRound();
      for (const [index, { sensor, line }] of this.#lines.entries()) {
        if (signal.aborted || this.#rest.isResting(index)) continue;
        const askedAt = clock.monotonic();
        this.#look(index, sensor, line);
        if (clock.monotonic() - askedAt > SLOW_MS) await clock.sleep(0, signal);
      }
      if (!signal.aborted) this.#life.note({ state: 'open', detail: this.#detail() });
      await clock.sleep(Math.max(0, config.pollMs - (clock.monotonic() - startedAt)), signal);
    }
  }

  #look(index: number, sensor: string, line: PinLine): void {
    if (this.#chip === null) return;
    try {
      line.look(this.#chip);
      this.#rest.answered(index);
      this.#complaints.delete(sensor);
    } catch (cause) {
      if (isOfTheChip(cause)) throw cause;
      this.#rest.silent(index);
      this.#failed(sensor, line, cause);
    }
  }

  /** A line of its own trouble is closed, and asked for again later. */
  #failed(sensor: string, line: PinLine, cause: unknown): void {
    if (!(cause instanceof GpioError)) throw cause;
    if (isOfTheChip(cause)) return this.#lost(cause);
    line.close();
    this.#complaints.set(sensor, `${cause.message} (${cause.code})`);
    this.#sink?.fault(sensor, cause.reason, this.#options.clock.monotonic());
  }

  #closeLines(): Promise<void> {
    for (const { line } of this.#lines) line.close();
    return Promise.resolve();
  }

  #detail(): string | null {
    const said = this.#lines.flatMap(({ sensor, line }) => {
      const lost = line.lost > 0 ? `${line.lost} edges came faster than they were taken` : null;
      const all = [this.#complaints.get(sensor), line.makeshift, lost].filter((one) => typeof one === 'string');
      return all.length === 0 ? [] : [`${sensor}: ${all.join(', ')}`];
    });
    return said.length === 0 ? null : said.join('; ');
  }
}

const isOfTheChip = (cause: unknown): boolean => cause instanceof GpioError && OF_THE_CHIP.includes(cause.code);
