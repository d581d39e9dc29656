import type { QualityReason } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';

/** What can be wrong with a GPIO chip or one of its lines. */
export const GPIO_ERRORS = {
  gpio_unsupported: 'The kernel does not offer GPIO by its character device (version 2)',
  gpio_chip_missing: 'There is no such GPIO chip',
  gpio_chip_ambiguous: 'Several GPIO chips are called so',
  gpio_chip_foreign: 'This is no GPIO chip',
  gpio_chip_gone: 'The GPIO chip went away',
  gpio_denied: 'The agent may not use the GPIO chip',
  gpio_line_missing: 'The GPIO chip has no such line',
  gpio_line_ambiguous: 'Several lines of the GPIO chip are called so',
  gpio_line_busy: 'The GPIO line is in use',
  gpio_no_edges: 'The GPIO chip tells no edges of the line',
  gpio_no_answer: 'The GPIO chip does not answer',
  gpio_line_refused: 'The driver of the GPIO chip refuses what the line is asked for',
} as const satisfies Record<string, string>;
export type GpioCode = keyof typeof GPIO_ERRORS;

/** What a sensor says that cannot be read because of it. */
const REASONS = {
  gpio_unsupported: 'refused',
  gpio_chip_missing: 'unplugged',
  gpio_chip_ambiguous: 'refused',
  gpio_chip_foreign: 'refused',
  gpio_chip_gone: 'unplugged',
  gpio_denied: 'denied',
  gpio_line_missing: 'no-line',
  gpio_line_ambiguous: 'no-line',
  gpio_line_busy: 'busy',
  gpio_no_edges: 'refused',
  gpio_no_answer: 'no-answer',
  gpio_line_refused: 'refused',
} as const satisfies Record<GpioCode, QualityReason>;
export type GpioReason = (typeof REASONS)[GpioCode];

export class GpioError extends Error {
  override readonly name = 'GpioError';
  readonly code: GpioCode;
  readonly reason: GpioReason;
  constructor(code: GpioCode, detail: string, options?: ErrorOptions) {
    super(`${GPIO_ERRORS[code]}: ${detail}`, options);
    this.code = code;
    this.reason = REASONS[code];
  }
}

export interface LineSettings {
  /** The number of the line on its chip, or its name. */
  readonly line: number | string;
  /** A low voltage means true. */
  readonly activeLow: boolean;
  readonly bias: 'as-is' | 'off' | 'pull-up' | 'pull-down';
}

export interface InputSettings extends LineSettings {
  /** Which edges the kernel keeps; with none of them only the level can be asked. */
  readonly edges: 'rising' | 'falling' | 'both' | 'none';
  /** The kernel tells a level that has stood for so long; 0: every one. */
  readonly debounceUs: number;
}

export interface OutputSettings extends LineSettings {
  readonly drive: 'push-pull' | 'open-drain' | 'open-source';
}

export interface Edge {
  /** What the line was after it, as far as the kernel saw. */
  readonly level: boolean;
  /** When the kernel stamped it, with the fractions of a millisecond that it knows. */
  readonly at: UptimeMs;
  /** Counts the edges of a line since it was asked for, from 1, in 32 bits: lost ones are counted, too. */
  readonly sequence: number;
}

/** A line that was asked for as an input: nobody else has it until it is closed. */
export interface InputLine {
  /** @throws GpioError `gpio_chip_gone`, `gpio_no_answer` */
  level(): boolean;
  /** What the kernel keeps, oldest first; waits for none. @throws GpioError `gpio_chip_gone` */
  edges(): Edge[];
  /** Calls once, as soon as there are edges to be taken, or the chip is gone. */
  wake(then: () => void): void;
  close(): void;
}

/** A line that was asked for as an output. What it does when it is closed is up to its driver. */
export interface OutputLine {
  /** @throws GpioError `gpio_chip_gone`, `gpio_no_answer`, `gpio_line_refused` */
  set(level: boolean): void;
  /** What is on the pin, where the hardware can read it; else what was set. @throws GpioError as `set` */
  level(): boolean;
  close(): void;
}

export interface GpioChip {
  /** @param user whom others are told that have the line: at most 31 bytes. @throws GpioError */
  input(settings: InputSettings, user: string): InputLine;
  /** @param level what it is from the first moment on. @throws GpioError */
  output(settings: OutputSettings, level: boolean, user: string): OutputLine;
}

export interface LineFacts {
  readonly line: number;
  readonly name: string | null;
  /** Who has it: a program, or a driver of the kernel; null when nobody. */
  readonly user: string | null;
  readonly direction: 'input' | 'output';
  readonly activeLow: boolean;
}

export interface ChipFacts {
  readonly path: string;
  readonly name: string;
  readonly label: string;
  readonly lines: readonly LineFacts[];
}

export interface Gpio {
  /** Every chip that may be looked at. */
  chips(): ChipFacts[];
  /** @param chip its path, name or label. @throws GpioError */
  chip(chip: string): GpioChip;
}
