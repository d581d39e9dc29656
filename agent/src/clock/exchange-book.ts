import type { SequenceRange } from '@paddock/shared/answer.ts';
import { MAX_EXCHANGES, type Exchange } from '@paddock/shared/report.ts';
import { roundTripMs } from './exchange.ts';

/** An exchange that the cloud may not know of yet, and the sequence of the report that told it. */
interface Waiting {
  readonly exchange: Exchange;
  readonly toldIn: number | null;
}

/** The exchanges of one start of the agent that travel in its next reports. */
export interface ExchangeBook {
  /** The clock segment that they lie in. */
  readonly segment: number;
  /** Best first. */
  readonly waiting: readonly Waiting[];
  /** The best of this segment so far, whether or not it waits; null before the first. */
  readonly bestMs: number | null;
  /** The last that was noted as worth telling. */
  readonly noted: Exchange | null;
  /** How many poor ones came one after the other. */
  readonly poor: number;
}

export const EMPTY_BOOK: ExchangeBook = { segment: 0, waiting: [], bestMs: null, noted: null, poor: 0 };

/** Of exchanges closer together than this only the best is worth its bytes: a storm of events makes twenty a second. */
const SPACING_MS = 60_000;

/** A round trip is poor when a better one may be expected: beyond this, or much longer than the best one was. */
const POOR_MS = 1_000;
const POOR_FACTOR = 4;
/** What the drift of half an hour makes of the best one anyway. */
const POOR_SLACK_MS = 250;

/**
 * An exchange is old after half an hour. A little less is counted, so that with reports every five minutes
 * it is the sixth that asks, and not the seventh because of a millisecond.
 */
export const OLD_AFTER_MS = 30 * 60_000 - 10_000;
/** After a poor one, and how often one after the other: a slow line stays slow, however often it is asked. */
const POOR_AFTER_MS = 5 * 60_000 - 30_000;
const POOR_TIMES = 2;

/** What was exchanged before a suspend says nothing about what comes after it. */
export const inSegment = (book: ExchangeBook, segment: number): ExchangeBook =>
  book.segment === segment ? book : { ...EMPTY_BOOK, segment };

/** Takes one more exchange of this segment in. Of more than a report can tell of, the worst goes. */
export function noteExchange(given: ExchangeBook, segment: number, exchange: Exchange): ExchangeBook {
  const before = inSegment(given, segment);
  const took = Math.max(0, roundTripMs(exchange));
  const poor = isPoor(before.bestMs, took) ? before.poor + 1 : 0;
  const book = { ...before, poor, bestMs: Math.min(before.bestMs ?? took, took) };
  if (!isWorthTelling(before, exchange)) return book;
  const waiting = before.waiting
    .filter((other) => !isNear(other.exchange, exchange))
    .concat({ exchange, toldIn: null })
    .toSorted((a, b) => roundTripMs(a.exchange) - roundTripMs(b.exchange));
  return { ...book, noted: exchange, waiting: waiting.slice(0, MAX_EXCHANGES) };
}

const isPoor = (bestMs: number | null, took: number): boolean =>
  took > Math.min(POOR_MS, (bestMs ?? POOR_MS) * POOR_FACTOR + POOR_SLACK_MS);

const isNear = (one: Exchange, other: Exchange): boolean =>
  Math.abs(one.responseUptimeMs - other.responseUptimeMs) < SPACING_MS;

/** Not when one that is as good was noted just before. */
const isWorthTelling = ({ noted, waiting }: ExchangeBook, exchange: Exchange): boolean =>
  [...waiting.map((other) => other.exchange), ...(noted === null ? [] : [noted])].every(
    (other) => !isNear(other, exchange) || roundTripMs(exchange) < roundTripMs(other),
  );

/**
 * What the next report tells: what was not told yet; and once more, in a report whose answer will say whether it
 * arrived, what was told in a report that no answer has covered.
 */
export const toTell = (book: ExchangeBook, segment: number, asks: boolean): readonly Exchange[] =>
  inSegment(book, segment)
    .waiting.filter(({ toldIn }) => toldIn === null || asks)
    .map(({ exchange }) => exchange);

/** A report that tells these was made. What it tells for the second time does not wait any longer. */
export function told(book: ExchangeBook, exchanges: readonly Exchange[], sequence: number): ExchangeBook {
  const waiting = book.waiting.flatMap((entry) => {
    if (!exchanges.includes(entry.exchange)) return [entry];
    return entry.toldIn === null ? [{ ...entry, toldIn: sequence }] : [];
  });
  return { ...book, waiting };
}

/** @param recorded the sequences of this start that the cloud has */
export function covered(book: ExchangeBook, recorded: readonly SequenceRange[]): ExchangeBook {
  const isRecorded = (sequence: number): boolean =>
    recorded.some(([first, last]) => first <= sequence && sequence <= last);
  return { ...book, waiting: book.waiting.filter(({ toldIn }) => toldIn === null || !isRecorded(toldIn)) };
}

/** How old the last exchange may grow before a routine report asks, in ms. */
export const askAfterMs = ({ poor }: ExchangeBook): number =>
  poor > 0 && poor <= POOR_TIMES ? POOR_AFTER_MS : OLD_AFTER_MS;
