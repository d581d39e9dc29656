import { COLUMNS, ListFileError, LONGEST_RECORD, type BadLine, type RawLine, type RecordReader } from './list-lines.ts';

/** A field and what ends it (RFC 4180, section 2). */
const FIELD = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
/** Whole fields, then one whose quotes are open: it goes on in the next line. */
const OPEN = /^(?:(?:"(?:[^"]|"")*"|[^",]*),)*"(?:[^"]|"")*$/;

/** The fields of one record, or null when it is not CSV. */
export function fieldsOf(record: string): string[] | null {
  const fields: string[] = [];
  for (let at = 0; ;) {
    FIELD.lastIndex = at;
    const found = FIELD.exec(record);
    if (found === null) return null;
    const [all, quoted, plain = '', end] = found;
    fields.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    at += all.length;
    if (end === '') return fields;
  }
}

/** Reads CSV with a header row, LF or CRLF, line by line: a bad record costs itself alone. */
export class CsvReader implements RecordReader {
  #rest = '';
  #skipping = false;
  #line = 0;
  #open: { readonly line: number; text: string } | null = null;
  #header: readonly string[] | null = null;

  push(text: string): (RawLine | BadLine)[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    const records = lines.flatMap((line) => this.#physical(line));
    if (this.#rest.length > LONGEST_RECORD) {
      // The line is told of when it ends; no more of it is kept than shows that it was too long.
      this.#rest = this.#rest.slice(0, LONGEST_RECORD + 1);
      this.#skipping = true;
    }
    return records;
  }

  end(): (RawLine | BadLine)[] {
    const last = this.#rest === '' ? [] : this.#physical(this.#rest);
    const open = this.#open === null ? [] : [{ line: this.#open.line, code: 'csv_malformed' } as const];
    if (this.#header === null) throw new ListFileError('file_empty');
    return [...last, ...open];
  }

  #physical(text: string): (RawLine | BadLine)[] {
    this.#line += 1;
    if (this.#skipping || text.length > LONGEST_RECORD) {
      this.#skipping = false;
      return this.#bad('line_too_long');
    }
    const content = text.endsWith('\r') ? text.slice(0, -1) : text;
    const record = this.#open === null ? content : `${this.#open.text}\n${content}`;
    if (record === '') return [];
    const fields = fieldsOf(record);
    if (fields !== null) return this.#record(fields);
    if (!OPEN.test(record)) return this.#bad('csv_malformed');
    if (record.length > LONGEST_RECORD) return this.#bad('line_too_long');
    this.#open = { line: this.#open?.line ?? this.#line, text: record };
    return [];
  }

  #record(fields: readonly string[]): (RawLine | BadLine)[] {
    const line = this.#takeLine();
    if (this.#header === null) {
      this.#header = headerOf(fields);
      return [];
    }
    if (fields.length !== this.#header.length) return [{ line, code: 'columns_wrong' }];
    const given = this.#header.map((name, at) => [name, fields[at] ?? ''] as const);
    return [{ line, values: Object.fromEntries(given.filter(([, value]) => value !== '')) }];
  }

  #bad(code: BadLine['code']): BadLine[] {
    const line = this.#takeLine();
    if (this.#header === null) throw new ListFileError('header_invalid', code);
    return [{ line, code }];
  }

  #takeLine(): number {
    const line = this.#open?.line ?? this.#line;
    this.#open = null;
    return line;
  }
}

function headerOf(fields: readonly string[]): readonly string[] {
  const names = fields.map((field) => field.trim());
  const unknown = names.filter((name) => !COLUMNS.some((column) => column === name));
  if (unknown.length > 0) throw new ListFileError('header_invalid', `unknown column ${JSON.stringify(unknown[0])}`);
  if (new Set(names).size < names.length) throw new ListFileError('header_invalid', 'a column twice');
  const isEnough = names.includes('serialNumber') && (names.includes('fingerprint') || names.includes('publicKey'));
  if (!isEnough) throw new ListFileError('header_invalid');
  return names;
}
