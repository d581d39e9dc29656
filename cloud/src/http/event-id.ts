import type { Position } from '../devices/changes.ts';
import { HttpError } from './problem.ts';

/** Positions are the database's, so that an id of one instance means the same to every other one. */
const FORM = /^(\d{1,16})-(\d{1,16})$/;

export const formatEventId = ({ revision, horizon }: Position): string => `${revision}-${horizon}`;

/** @throws HttpError `event_id_invalid` */
export function parseEventId(text: string): Position {
  const [, revision, horizon] = FORM.exec(text) ?? [];
  const position = { revision: Number(revision), horizon: Number(horizon) };
  if (!Number.isSafeInteger(position.revision) || !Number.isSafeInteger(position.horizon))
    throw new HttpError('event_id_invalid');
  return position;
}

/** What an event says: one event of the stream (WHATWG HTML, 9.2.6) without its id. JSON has no newline. */
export const eventBody = (event: string, data: object): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

export const withId = (position: Position, body: string): string => `id: ${formatEventId(position)}\n${body}`;
