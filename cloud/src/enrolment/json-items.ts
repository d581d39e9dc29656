import { COLUMNS, ListFileError, LONGEST_RECORD, type BadLine, type RawLine, type RecordReader } from './list-lines.ts';

/** Where an item may begin, and what may stand between items: an array, or one object a line (NDJSON). */
const BETWEEN = /[\s[\],]/;

/** Reads the objects of a JSON array, or of lines, one by one: what is no object costs itself alone. */
export class JsonItemReader implements RecordReader {
  #item = '';
  #length = 0;
  #startedAt = 0;
  #line = 1;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #seen = false;

  push(text: string): (RawLine | BadLine)[] {
    const items: (RawLine | BadLine)[] = [];
    for (const char of text) {
      const item = this.#take(char);
      if (char === '\n') this.#line += 1;
      if (item !== null) items.push(item);
    }
    return items;
  }

  end(): (RawLine | BadLine)[] {
    if (this.#depth > 0) throw new ListFileError('json_unfinished', `line ${this.#startedAt}`);
    const last = this.#length > 0 ? [this.#close()] : [];
    if (!this.#seen) throw new ListFileError('file_empty');
    return last;
  }

  #take(char: string): RawLine | BadLine | null {
    const isInside = this.#inString || this.#depth > 0;
    if (!isInside && BETWEEN.test(char)) return this.#length > 0 ? this.#close() : null;
    if (this.#length === 0) this.#startedAt = this.#line;
    this.#length += char.length;
    if (this.#length <= LONGEST_RECORD) this.#item += char;
    this.#follow(char);
    const isObject = !this.#inString && this.#depth === 0 && char === '}';
    return isObject ? this.#close() : null;
  }

  #follow(char: string): void {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (char === '\\') this.#escaped = true;
      else if (char === '"') this.#inString = false;
      return;
    }
    if (char === '"') this.#inString = true;
    else if (char === '{' || char === '[') this.#depth += 1;
    else if (char === '}' || char === ']') this.#depth = Math.max(0, this.#depth - 1);
  }

  #close(): RawLine | BadLine {
    const text = this.#item;
    const isTooLong = this.#length > LONGEST_RECORD;
    this.#item = '';
    this.#length = 0;
    this.#seen = true;
    return isTooLong ? { line: this.#startedAt, code: 'line_too_long' } : itemOf(text, this.#startedAt);
  }
}

function itemOf(text: string, line: number): RawLine | BadLine {
  let item: unknown;
  try {
    item = JSON.parse(text);
  } catch {
    return { line, code: 'json_malformed' };
  }
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return { line, code: 'json_malformed' };
  const unknown = Object.keys(item).find((name) => !COLUMNS.some((column) => column === name));
  if (unknown !== undefined) return { line, code: 'property_unknown', detail: unknown.slice(0, 64) };
  return { line, values: { ...item } };
}
