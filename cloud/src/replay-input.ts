import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** A longer line is no line of a trace; nothing of it is kept. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;
const NEWLINE = 0x0a;

/** One line of a file, counted from 1; `text` is null when it is too long. */
export interface TextLine {
  readonly number: number;
  readonly text: string | null;
}

/** A file that can be read twice. */
export interface Input {
  readonly path: string;
  /** Removes what was made for it. */
  close(): Promise<void>;
}

/**
 * Opens what is to be replayed. What can be read once only, standard input (`-`) or a pipe, is copied to a temporary
 * file first.
 */
export async function openInput(path: string, stdin: NodeJS.ReadableStream): Promise<Input> {
  if (path !== '-' && (await stat(path)).isFile()) return { path, close: () => Promise.resolve() };
  const directory = await mkdtemp(join(tmpdir(), 'paddock-replay-'));
  const close = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const copy = join(directory, 'trace.ndjson');
  try {
    await pipeline(path === '-' ? stdin : createReadStream(path), createWriteStream(copy, { mode: 0o600 }));
  } catch (error) {
    await close();
    throw error;
  }
  return { path: copy, close };
}

/** The lines of a file, in bounded memory; empty ones are left out, but counted. */
export async function* linesOf(path: string): AsyncGenerator<TextLine, void> {
  let number = 0;
  let kept: Buffer[] = [];
  let bytes = 0;
  const keep = (part: Buffer): void => {
    bytes += part.length;
    if (bytes <= MAX_LINE_BYTES) kept.push(part);
    else kept = [];
  };
  const take = (): TextLine | null => {
    number += 1;
    const text = bytes > MAX_LINE_BYTES ? null : Buffer.concat(kept).toString().trim();
    [kept, bytes] = [[], 0];
    return text === '' ? null : { number, text };
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      keep(chunk.subarray(from, at));
      from = at + 1;
      const line = take();
      if (line) yield line;
    }
    keep(chunk.subarray(from));
  }
  const last = take();
  if (last) yield last;
}
