import { closeSync, constants, openSync, readdirSync } from 'node:fs';
import { GpioError, type ChipFacts, type GpioCode, type LineFacts } from '../../ports-gpio.ts';
import type { GpioCalls } from './calls.ts';
import { chipIn, IOCTL, lineIn, lineQuestion, SIZE } from './uapi.ts';

const DEVICES = '/dev';
const CHIP = /^gpiochip\d+$/;

/** A chip that is open: its descriptor is good for questions and for asking for lines. */
export interface OpenChip extends Pick<ChipFacts, 'path' | 'name' | 'label'> {
  readonly fd: number;
  readonly lineCount: number;
}

/** Opens the chip for as long as the work takes. @param chip its path, name or label */
export function onChip<T>(calls: GpioCalls, chip: string, work: (open: OpenChip) => T): T {
  return onPath(calls, chip.startsWith('/') ? chip : pathOf(calls, chip), work);
}

function onPath<T>(calls: GpioCalls, path: string, work: (open: OpenChip) => T): T {
  const fd = openPath(path);
  try {
    const answer = Buffer.alloc(SIZE.chipInfo);
    askChip(() => calls.ioctl(fd, IOCTL.chipInfo, answer, path), path);
    return work({ fd, path, ...chipIn(answer) });
  } finally {
    closeSync(fd);
  }
}

function openPath(path: string): number {
  try {
    return openSync(path, constants.O_RDWR);
  } catch (cause) {
    throw openingError(path, cause);
  }
}

function openingError(path: string, cause: unknown): GpioError {
  const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new GpioError(OPENING[why] ?? 'gpio_chip_foreign', `${path} (${why})`, { cause });
}

/** What it means when the device, or the directory of all devices, does not open. */
const OPENING: Readonly<Record<string, GpioCode>> = {
  ENOENT: 'gpio_chip_missing',
  ENODEV: 'gpio_chip_missing',
  ENXIO: 'gpio_chip_missing',
  EACCES: 'gpio_denied',
  EPERM: 'gpio_denied',
  // The machine lacks something for the moment.
  EMFILE: 'gpio_no_answer',
  ENFILE: 'gpio_no_answer',
  ENOMEM: 'gpio_no_answer',
  EIO: 'gpio_no_answer',
};

/** Whatever else answers to that path does not know the question. */
function askChip(ask: () => void, path: string): void {
  try {
    ask();
  } catch (cause) {
    if (!(cause instanceof GpioError) || cause.code === 'gpio_chip_gone') throw cause;
    throw new GpioError('gpio_chip_foreign', path, { cause });
  }
}

function pathOf(calls: GpioCalls, called: string): string {
  const denied: string[] = [];
  const found = chipPaths().flatMap((path) =>
    look(
      calls,
      path,
      ({ name, label }) => ({ path, name, label }),
      () => denied.push(path),
    ),
  );
  const fitting = found.filter(({ name, label }) => name === called || label === called);
  const [first, ...others] = fitting;
  if (first === undefined && denied.length > 0)
    throw new GpioError('gpio_denied', `${called} may be one of ${denied.join(', ')}, which may not be opened`);
  if (first === undefined) {
    const there = found.map(({ name, label }) => `${name} (${label})`).join(', ');
    throw new GpioError('gpio_chip_missing', `${called}; ${there === '' ? 'there is none' : `there is ${there}`}`);
  }
  if (others.length > 0)
    throw new GpioError('gpio_chip_ambiguous', `${called} is ${fitting.map(({ path }) => path).join(' and ')}`);
  return first.path;
}

/** Every chip with all of its lines, as far as they may be looked at. */
export const chipFacts = (calls: GpioCalls): ChipFacts[] =>
  chipPaths().flatMap((path) =>
    look(calls, path, (open) => ({ path, name: open.name, label: open.label, lines: linesOf(calls, open) })),
  );

const chipPaths = (): string[] =>
  devices()
    .filter((name) => CHIP.test(name))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => `${DEVICES}/${name}`);

function devices(): string[] {
  try {
    return readdirSync(DEVICES);
  } catch (cause) {
    throw openingError(DEVICES, cause);
  }
}

/** One that is denied, or goes away meanwhile, is left out. */
function look<T>(calls: GpioCalls, path: string, work: (open: OpenChip) => T, denied: () => void = () => {}): T[] {
  try {
    return [onPath(calls, path, work)];
  } catch (cause) {
    if (!(cause instanceof GpioError)) throw cause;
    if (cause.code === 'gpio_denied') denied();
    return [];
  }
}

const linesOf = (calls: GpioCalls, chip: OpenChip): LineFacts[] =>
  Array.from({ length: chip.lineCount }, (_, offset) => lineFacts(calls, chip, offset));

export function lineFacts(calls: GpioCalls, { fd, path }: OpenChip, offset: number): LineFacts {
  const answer = lineQuestion(offset);
  calls.ioctl(fd, IOCTL.lineInfo, answer, `line ${offset} of ${path}`);
  return lineIn(answer);
}

/** The number of a line that is given by number or name. */
export function offsetOf(calls: GpioCalls, chip: OpenChip, line: number | string): number {
  const { path, lineCount } = chip;
  if (typeof line === 'number') {
    if (line < lineCount) return line;
    throw new GpioError('gpio_line_missing', `${path} has lines 0 to ${lineCount - 1}, and no ${line}`);
  }
  const [first, ...others] = linesOf(calls, chip).filter(({ name }) => name === line);
  if (first === undefined) throw new GpioError('gpio_line_missing', `none of ${path} is called ${line}`);
  if (others.length === 0) return first.line;
  const numbers = [first, ...others].map((found) => found.line).join(' and ');
  throw new GpioError('gpio_line_ambiguous', `${line} of ${path} is ${numbers}`);
}
