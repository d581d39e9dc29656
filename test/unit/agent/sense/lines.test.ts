import { createLineSplitter, type Line } from '@paddock/agent/sense/lines.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const split = (chunks: readonly Uint8Array[], maxBytes = 16, delimiter = '\n'): Line[] => {
  const splitter = createLineSplitter({ delimiter, maxBytes });
  return chunks.flatMap((chunk) => splitter.push(chunk));
};
const bytes = (text: string): Uint8Array => Buffer.from(text);
const line = (text: string): Line => ({ kind: 'line', text });
const TOO_LONG: Line = { kind: 'malformed', why: 'longer than maxLineBytes' };
const NOT_UTF8: Line = { kind: 'malformed', why: 'not UTF-8' };

/** Bytes that are likely to hold delimiters, parts of them, lines of just about the bound, and broken UTF-8. */
const bytesWith = (delimiter: string) =>
  fc
    .array(
      fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom('a', 'aaa', '\u00e9') },
        { weight: 2, arbitrary: fc.constant(delimiter) },
        { weight: 2, arbitrary: fc.constantFrom(...delimiter) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
      ),
      { maxLength: 60 },
    )
    .map((parts) =>
      Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part)))),
    );

describe('line splitter', () => {
  it('waits for the end of a half line', () => {
    const splitter = createLineSplitter({ delimiter: '\n', maxBytes: 16 });
    expect(splitter.push(bytes('DOOR='))).toEqual([]);
    expect(splitter.push(bytes('open\nLID=c'))).toEqual([line('DOOR=open')]);
    expect(splitter.push(bytes('losed\n'))).toEqual([line('LID=closed')]);
  });

  it('drops empty lines and carriage returns', () => {
    expect(split([bytes('\n\r\n  \na\r\n')])).toEqual([line('a')]);
  });

  it('takes a line of exactly the bound and refuses one byte more', () => {
    expect(split([bytes(`${'a'.repeat(16)}\n${'b'.repeat(17)}\nc\n`)])).toEqual([
      line('a'.repeat(16)),
      TOO_LONG,
      line('c'),
    ]);
  });

  it('tells a line of a megabyte once, when it is too long and before it ends, and goes on after it', () => {
    const splitter = createLineSplitter({ delimiter: '\n', maxBytes: 1024 });
    const told = Array.from({ length: 1024 }, () => splitter.push(bytes('x'.repeat(1024)))).flat();
    expect(told).toEqual([TOO_LONG]);
    expect(splitter.push(bytes('x\nok\n'))).toEqual([line('ok')]);
  });

  it('calls garbage malformed and goes on with the next line', () => {
    expect(split([Uint8Array.of(0xff, 0xfe, 0x0a, 0x41, 0x0a)])).toEqual([NOT_UTF8, line('A')]);
  });

  it('keeps a character together that two chunks divide', () => {
    const [head, tail] = [bytes('°C\n').subarray(0, 1), bytes('°C\n').subarray(1)];
    expect(split([head, tail])).toEqual([line('°C')]);
  });

  it.each(['\n', '\r\n', '||', '\r\r\n'])(
    'gives the same lines however the bytes are chunked (delimiter %j)',
    (delimiter) => {
      fc.assert(
        fc.property(bytesWith(delimiter), fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (all, sizes) => {
          const chunks: Uint8Array[] = [];
          for (let from = 0, i = 0; from < all.length; i += 1) {
            const size = sizes[i % sizes.length] ?? 1;
            chunks.push(all.subarray(from, from + size));
            from += size;
          }
          expect(split(chunks, 8, delimiter)).toEqual(split([all], 8, delimiter));
        }),
        { numRuns: 500 },
      );
    },
  );
});
