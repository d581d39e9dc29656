import { fromInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { HttpError } from './problem.ts';

/**
 * Where a listener stands in the stream: a revision, and when it was told. Transactions commit in another order
 * than they take their revisions, so that who comes back is told once more what moved shortly before.
 */
export interface EventId {
  readonly revision: number;
  readonly at: WallMs;
}

/** The last moment that RFC 3339 can write. */
const LATEST = fromInstant('9999-12-31T23:59:59.999Z');
const FORM = /^(\d{1,15})-(\d{1,15})$/;

export const formatEventId = ({ revision, at }: EventId): string => `${revision}-${at}`;

/** @throws HttpError `event_id_invalid` */
export function parseEventId(text: string): EventId {
  const [, revision, at] = FORM.exec(text) ?? [];
  if (revision === undefined || at === undefined || Number(at) > LATEST) throw new HttpError('event_id_invalid');
  return { revision: Number(revision), at: wallMs(Number(at)) };
}

/** One event of the stream (WHATWG HTML, 9.2.6): JSON has no newline, so that one data line is enough. */
export const formatEvent = (event: string, id: EventId, data: object): string =>
  `id: ${formatEventId(id)}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
