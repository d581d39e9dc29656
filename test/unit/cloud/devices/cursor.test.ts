import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCursor, encodeCursor, pageOf } from '@paddock/cloud/devices/cursor.ts';

const instant = fc
  .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
  .map((date) => date.toISOString());
const text = fc.string({ maxLength: 40 }).filter((value) => !value.includes('\0'));
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });

describe('a cursor', () => {
  test('comes back as the key that it was made of', () => {
    fc.assert(
      fc.property(instant, count, text, (at, n, id) => {
        expect(decodeCursor(encodeCursor([at, n, id]), ['instant', 'count', 'text'])).toEqual([at, n, id]);
      }),
    );
  });

  test('that is anything else is refused with its code', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((json) => Buffer.from(json).toString('base64url')),
        ),
        (cursor) => {
          let code: unknown;
          try {
            const key = decodeCursor(cursor, ['instant', 'count', 'count', 'text']);
            expect(key).toHaveLength(4);
            return;
          } catch (error) {
            ({ code } = error as { code: unknown });
          }
          expect(code).toBe('cursor_invalid');
        },
      ),
    );
  });

  test.each([
    ['another number of values', [['a', 'b'], ['text']]],
    ['a negative count', [[-1], ['count']]],
    ['a broken count', [[1.5], ['count']]],
    ['a count that is text', [['1'], ['count']]],
    ['a date that is none', [['2026-02-31T99:00:00.000Z'], ['instant']]],
    ['a text with U+0000', [['a\0'], ['text']]],
    ['a text too long', [['a'.repeat(1000)], ['text']]],
  ] as const)('with %s is refused', (_, [key, shape]) => {
    expect(() => decodeCursor(encodeCursor(key), shape)).toThrow(expect.objectContaining({ code: 'cursor_invalid' }));
  });
});

describe('a page', () => {
  const page = (rows: number[], limit: number) => pageOf(rows, limit, (row) => [row], String);
  test('has a next one only when there is more', () => {
    expect(page([1, 2], 2)).toEqual({ items: ['1', '2'], next: null });
    expect(page([1, 2, 3], 2)).toEqual({ items: ['1', '2'], next: encodeCursor([2]) });
    expect(page([], 2)).toEqual({ items: [], next: null });
  });
});
