import fc from 'fast-check';
import { CsvReader, fieldsOf } from '@paddock/cloud/enrolment/csv.ts';
import { JsonItemReader } from '@paddock/cloud/enrolment/json-items.ts';
import { LONGEST_RECORD, type RecordReader } from '@paddock/cloud/enrolment/list-lines.ts';
import { describe, expect, test } from 'vitest';

const readAll = (reader: RecordReader, ...parts: readonly string[]) => [
  ...parts.flatMap((part) => reader.push(part)),
  ...reader.end(),
];
const csv = (...parts: readonly string[]) => readAll(new CsvReader(), ...parts);
const json = (...parts: readonly string[]) => readAll(new JsonItemReader(), ...parts);
const HEADER = 'serialNumber,fingerprint,name\n';
const quoted = (field: string): string => `"${field.replaceAll('"', '""')}"`;

describe('CSV', () => {
  test('takes quotes, commas and line ends within fields, LF and CRLF, and no last line end', () => {
    expect(csv(HEADER, 'A1,f,"a ""b"", c"\r\n', 'A2,f,"two\nlines"\n\nA3,f,')).toEqual([
      { line: 2, values: { serialNumber: 'A1', fingerprint: 'f', name: 'a "b", c' } },
      { line: 3, values: { serialNumber: 'A2', fingerprint: 'f', name: 'two\nlines' } },
      { line: 6, values: { serialNumber: 'A3', fingerprint: 'f' } },
    ]);
  });

  test('costs a bad line itself alone', () => {
    const long = 'x'.repeat(LONGEST_RECORD + 1);
    expect(
      csv(HEADER, `A1,f"g,n\nA2,f,n,more\nA3,${long},n\nA4,f,n\n"A5`).map((one) =>
        'code' in one ? [one.line, one.code] : one.line,
      ),
    ).toEqual([[2, 'csv_malformed'], [3, 'columns_wrong'], [4, 'line_too_long'], 5, [6, 'csv_malformed']]);
  });

  test.each([
    ['', 'file_empty'],
    ['serialNumber\nA1\n', 'header_invalid'],
    ['serialNumber,fingerprint,colour\n', 'header_invalid'],
    ['serialNumber,fingerprint,fingerprint\n', 'header_invalid'],
    ['serialNumber;fingerprint\n', 'header_invalid'],
  ])('does not begin with %j', (text, code) => {
    expect(() => csv(text)).toThrow(expect.objectContaining({ code }));
  });

  test('gives back whatever fields were written', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1 }), (fields) => {
        expect(fieldsOf(fields.map(quoted).join(','))).toEqual(fields);
      }),
    );
  });

  test('reads the same however the text is cut', () => {
    const text = `${HEADER}A1,f,"a ""b""\n c"\r\nA2,f"x,y\nA3,f,z`;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: text.length }), fc.integer({ min: 0, max: text.length }), (a, b) => {
        const [first, second] = [Math.min(a, b), Math.max(a, b)];
        expect(csv(text.slice(0, first), text.slice(first, second), text.slice(second))).toEqual(csv(text));
      }),
    );
  });

  test('never throws but for the file as a whole, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', 'a') })), (parts) => {
        const lines = csv(HEADER, ...parts);
        expect(lines.every((one) => one.line >= 2)).toBe(true);
      }),
    );
  });
});

describe('JSON', () => {
  const item = { serialNumber: 'A1', publicKey: { kty: 'EC', x: '}]"' } };

  test.each([
    ['an array', JSON.stringify([item, item])],
    ['an array over lines', JSON.stringify([item, item], null, 2)],
    ['one object a line', `${JSON.stringify(item)}\n${JSON.stringify(item)}\n`],
  ])('reads %s', (_, text) => {
    expect(json(text).map((one) => ('values' in one ? one.values : one))).toEqual([item, item]);
  });

  test('costs what is no object itself alone', () => {
    const text = `[{"serialNumber":"A1"},\n7,\n{"colour":1},\n{bad},\n{"serialNumber":"A2"}]`;
    expect(json(text).map((one) => ('code' in one ? [one.line, one.code] : one.line))).toEqual([
      1,
      [2, 'json_malformed'],
      [3, 'property_unknown'],
      [4, 'json_malformed'],
      5,
    ]);
  });

  test('that ends within an item is told', () => {
    expect(() => json('[{"serialNumber":')).toThrow(expect.objectContaining({ code: 'json_unfinished' }));
    expect(() => json('  ')).toThrow(expect.objectContaining({ code: 'file_empty' }));
  });

  test('reads the same however the text is cut', () => {
    const text = JSON.stringify([item, { serialNumber: 'é"\\' }, item]);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: text.length }), (at) => {
        expect(json(text.slice(0, at), text.slice(at))).toEqual(json(text));
      }),
    );
  });
});
