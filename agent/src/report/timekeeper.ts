import type { Answer } from '@paddock/shared/answer.ts';
import type { Exchange } from '@paddock/shared/report.ts';
import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import { statusOf } from '../clock/clock-status.ts';
import { exchangeOf, EXCHANGE_FAULTS, roundTripMs, type Moment } from '../clock/exchange.ts';
import { askAfterMs, covered, EMPTY_BOOK, noteExchange, told, toTell } from '../clock/exchange-book.ts';
import { learn, trustedAt, untrusted, type TrustedInterval } from '../clock/trusted-time.ts';
import type { Clock, Disk, WallClock } from '../ports.ts';
import { firstSentOf } from './answers.ts';
import { createQuiet, type Log } from './log.ts';
import type { Held, SealedReport } from './sealed.ts';
import { createClockStepper } from './step-clock.ts';
import { openTimeFiles } from './time-files.ts';

/** What this start knows of the time: from answers, and from nothing else. */
export interface Timekeeper {
  /** Trusted time at a moment of this boot. */
  readonly at: (moment: Moment) => TrustedInterval;
  /** An answer was verified and taken. @param arrival stamped at its very arrival @returns whether it is an exchange */
  answered(answer: Answer, report: Held, arrival: Moment): boolean;
  /** The same for an answer to another request than a report: it gives the time, and no report tells of it. */
  enrolled(request: Moment, answer: Pick<Answer, 'receivedAt' | 'sentAt'>, arrival: Moment): void;
  /** The exchanges that a report of this segment tells. */
  toTell(segment: number, asks: boolean): readonly Exchange[];
  /** That report was made. */
  told(exchanges: readonly Exchange[], sequence: number): void;
  /** How old the last exchange may grow before a routine report asks, in ms. */
  askAfterMs(): number;
  /** Keeps trusted time for the next boot. */
  close(): Promise<void>;
}

export interface TimekeeperParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  /** Null unless the configuration allows to set it. */
  readonly wallClock: WallClock | null;
}

export interface TimekeeperOptions extends Pick<SealedReport, 'incarnation' | 'start'> {
  readonly bootId: string;
  /** When this program was built: it is never earlier than that. */
  readonly builtAt: WallMs;
  /** By how much the system clock must certainly be wrong before it is set, in ms. */
  readonly stepOverMs: number;
}

export async function openTimekeeper(parts: TimekeeperParts, options: TimekeeperOptions): Promise<Timekeeper> {
  const { clock, log } = parts;
  const files = await openTimeFiles(parts);
  const stepClock = createClockStepper(parts, options.stepOverMs);
  const [quiet, quietContradiction] = [createQuiet(clock), createQuiet(clock)];
  let time = untrusted(options.builtAt, files.kept);
  let book = EMPTY_BOOK;
  const at = (moment: Moment): TrustedInterval => trustedAt(time, moment);
  const now = (): TrustedInterval => {
    // The uptime first: of an instant before a suspend nothing is said that lies after it.
    const moment = { at: clock.monotonic(), segment: clock.segment() };
    return at(moment);
  };
  const learns = (exchange: Exchange, { segment }: Moment): void => {
    const learned = learn(time, segment, exchange);
    if (learned.contradicted) {
      const told = { code: 'time_contradicted', from: shown(now()), sentAt: exchange.sentAt };
      quietContradiction((times) => log.warn({ ...told, times }, 'The cloud tells another time than it did before'));
    } else if (time.anchor === null)
      log.info({ sentAt: exchange.sentAt, roundTripMs: roundTripMs(exchange) }, 'Trusted time is known');
    time = learned.time;
    stepClock(now());
    if (time.anchor) files.exchanged(now().earliest, statusOf(options.bootId, time.anchor, exchange));
  };
  const madeOf = (...exchange: Parameters<typeof exchangeOf>): Exchange | null => {
    const made = exchangeOf(...exchange);
    if ('exchange' in made) return made.exchange;
    const { receivedAt, sentAt } = exchange[1];
    quiet((times) => log.warn({ code: made.fault, times, receivedAt, sentAt }, EXCHANGE_FAULTS[made.fault]));
    return null;
  };
  return {
    at,
    answered(answer, report, arrival) {
      if (answer.incarnation === options.incarnation && answer.start === options.start)
        book = covered(book, answer.recorded);
      const request = firstSentOf(report, options);
      // Without the nonce it is bound to nothing; and who knows when an earlier start sent its report.
      if (request === null || answer.nonce === undefined) return false;
      const exchange = madeOf(request, answer, arrival);
      if (exchange === null) return false;
      learns(exchange, arrival);
      book = noteExchange(book, arrival.segment, exchange);
      return true;
    },
    enrolled(...request) {
      const exchange = madeOf(...request);
      if (exchange !== null) learns(exchange, request[2]);
    },
    toTell: (segment, asks) => toTell(book, segment, asks),
    told: (exchanges, sequence) => void (book = told(book, exchanges, sequence)),
    askAfterMs: () => askAfterMs(book),
    close: () => files.close(time.anchor === null ? null : now().earliest),
  };
}

const shown = ({ earliest, latest }: TrustedInterval): string =>
  `${toInstant(earliest)} to ${latest === null ? 'any' : toInstant(latest)}`;
