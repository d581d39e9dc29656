import { fromInstant, INSTANT_PATTERN } from '@paddock/shared/time.ts';

/** What a page ended with: the values of its sort key. Strings and whole numbers only. */
export type CursorKey = readonly (string | number)[];

/** The form of each value of a key, in order. An instant is RFC 3339 in UTC. */
export type CursorShape = readonly ('text' | 'count' | 'instant')[];

export class CursorError extends Error {
  override readonly name = 'CursorError';
  readonly code = 'cursor_invalid';
}

const MAX_CURSOR_CHARS = 512;
const INSTANT = new RegExp(INSTANT_PATTERN);

/** Opaque to clients: base64url of the key as JSON. */
export const encodeCursor = (key: CursorKey): string => Buffer.from(JSON.stringify(key)).toString('base64url');

/**
 * A cursor comes from outside: it is taken only in the form that a page of this list ends with.
 * @throws CursorError `cursor_invalid`
 */
export function decodeCursor(cursor: string, shape: CursorShape): CursorKey {
  const values = cursor.length > MAX_CURSOR_CHARS ? null : parse(cursor);
  const isKey =
    Array.isArray(values) && values.length === shape.length && shape.every((form, at) => fits(form, values[at]));
  if (!isKey) throw new CursorError('The cursor is not one that this list gave out');
  return values as CursorKey;
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}

function fits(form: CursorShape[number], value: unknown): boolean {
  if (form === 'count') return Number.isSafeInteger(value) && Number(value) >= 0;
  if (typeof value !== 'string' || value.includes('\0') || !value.isWellFormed()) return false;
  return form === 'text' || (INSTANT.test(value) && !Number.isNaN(fromInstant(value)));
}

/** Which page of a list is asked for: the first one, or the one that a cursor names. */
export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string;
}

/** A page of a list, and the cursor of the next one: null when this is the last. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

/**
 * Makes a page of rows that were asked for with one more than the limit.
 * @param keyOf the sort key of a row, in the list's order
 */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => CursorKey,
  itemOf: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(itemOf), next: rows.length > limit && last ? encodeCursor(keyOf(last)) : null };
}
