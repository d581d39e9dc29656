import { closeSync } from 'node:fs';
import { uptimeMs } from '@paddock/shared/time.ts';
import koffi from 'koffi';
import { GpioError, type Edge, type Gpio, type GpioChip, type InputLine, type OutputLine } from '../ports-gpio.ts';
import { openCalls, type GpioCalls } from './gpio/calls.ts';
import { chipFacts, lineFacts, offsetOf, onChip, type OpenChip } from './gpio/chips.ts';
import {
  descriptorIn,
  eventsIn,
  inputRequest,
  IOCTL,
  levelIn,
  MOST_EVENTS,
  outputRequest,
  SIZE,
  valuesOf,
} from './gpio/uapi.ts';

/** The machine's GPIO chips by the kernel's character device. Chips are open only while something is asked of them. */
export function createGpio(): Gpio {
  const calls = openCalls();
  return {
    chips: () => chipFacts(calls),
    chip: (chip) => {
      // Whether it is there shows now, and not with the first line.
      onChip(calls, chip, () => {});
      return chipOf(calls, chip);
    },
  };
}

const chipOf = (calls: GpioCalls, called: string): GpioChip => ({
  input: (settings, user) =>
    onChip(calls, called, (chip) => {
      const offset = offsetOf(calls, chip, settings.line);
      const { fd, about } = askFor(calls, chip, offset, inputRequest(offset, settings, user));
      return inputLine(calls, fd, about);
    }),
  output: (settings, level, user) =>
    onChip(calls, called, (chip) => {
      const offset = offsetOf(calls, chip, settings.line);
      const { fd, about } = askFor(calls, chip, offset, outputRequest(offset, settings, level, user));
      return outputLine(calls, fd, about);
    }),
});

function askFor(calls: GpioCalls, chip: OpenChip, offset: number, request: Buffer): { fd: number; about: string } {
  const about = `line ${offset} of ${chip.path}`;
  try {
    calls.ioctl(chip.fd, IOCTL.requestLine, request, about);
  } catch (cause) {
    if (!(cause instanceof GpioError) || cause.code !== 'gpio_line_busy') throw cause;
    const { user } = lineFacts(calls, chip, offset);
    throw new GpioError('gpio_line_busy', `${about} is held by ${user ?? 'somebody'}`, { cause });
  }
  return { fd: descriptorIn(request), about };
}

function levelOf(calls: GpioCalls, fd: number, about: string): boolean {
  const values = valuesOf(false);
  calls.ioctl(fd, IOCTL.getValues, values, about);
  return levelIn(values);
}

function inputLine(calls: GpioCalls, fd: number, about: string): InputLine {
  try {
    calls.neverWait(fd);
  } catch (cause) {
    closeSync(fd);
    throw cause;
  }
  let poll: ReturnType<typeof koffi.node.poll> | null = null;
  return {
    level: () => levelOf(calls, fd, about),
    edges() {
      // One read takes all that the kernel can have kept.
      const events = eventsIn(calls.read(fd, MOST_EVENTS * SIZE.event, about));
      const offsetMs = events.length === 0 ? 0 : calls.rawOffsetMs();
      return events.map(({ stampMs, rising, sequence }): Edge => ({
        level: rising,
        at: uptimeMs(stampMs + offsetMs),
        sequence,
      }));
    },
    wake(then) {
      const woken = (): void => {
        poll?.stop();
        // koffi calls from outside of any turn: promises that are settled there would wait for the next one.
        setImmediate(then);
      };
      if (poll === null) poll = koffi.node.poll(fd, { readable: true }, woken);
      else poll.start({ readable: true }, woken);
    },
    close() {
      // First, or the event loop would watch whatever gets the number of the descriptor next.
      poll?.close();
      poll = null;
      closeSync(fd);
    },
  };
}

const outputLine = (calls: GpioCalls, fd: number, about: string): OutputLine => ({
  set: (level) => calls.ioctl(fd, IOCTL.setValues, valuesOf(level), about),
  level: () => levelOf(calls, fd, about),
  close: () => closeSync(fd),
});
