import type { IncomingMessage } from 'node:http';
import { FetchError } from '../../ports-firmware.ts';

/** @throws FetchError `fetch_too_large` before more than `most` is held */
export async function readWhole(pieces: AsyncIterable<Uint8Array>, path: string, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > most) throw new FetchError('fetch_too_large', `${path}: more than ${most} bytes`);
    chunks.push(piece);
  }
  return Buffer.concat(chunks);
}

export interface Part {
  readonly path: string;
  readonly from: number;
  readonly bytes: number;
}

/**
 * The part that was asked for, whatever the server makes of the question: what it says is held against it, and no more
 * than was asked for gets through. A server that knows no ranges sends all; what stands before the part is passed over.
 * @throws FetchError
 */
export async function* partOf(
  { statusCode, headers }: IncomingMessage,
  pieces: AsyncIterable<Uint8Array>,
  { path, from, bytes }: Part,
): AsyncGenerator<Uint8Array> {
  if (statusCode === 404 || statusCode === 410) throw new FetchError('fetch_missing', path);
  // Behind the end of the file there is nothing.
  if (statusCode === 416) return;
  if (statusCode === 206) yield* bounded(pieces, path, rangeOf(headers['content-range'], { path, from, bytes }));
  else if (statusCode === 200) yield* cutOut(pieces, from, bytes);
  else throw new FetchError('fetch_refused', `${path}: ${statusCode}`);
}

/** How many bytes come: what was asked for, or less at the end of the file. */
function rangeOf(range: string | undefined, { path, from, bytes }: Part): number {
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range ?? '') ?? [];
  const count = Number(last) - Number(first) + 1;
  const endsEarly = count < bytes && Number(last) + 1 !== Number(total);
  if (Number(first) !== from || !(count > 0 && count <= bytes) || endsEarly)
    throw new FetchError('fetch_refused', `${path}: another part than was asked for (${range})`);
  return count;
}

async function* bounded(
  pieces: AsyncIterable<Uint8Array>,
  path: string,
  announced: number,
): AsyncGenerator<Uint8Array> {
  let left = announced;
  for await (const piece of pieces) {
    if (piece.length > left) throw new FetchError('fetch_too_large', `${path}: more than it said`);
    left -= piece.length;
    yield piece;
  }
  if (left > 0) throw new FetchError('fetch_failed', `${path}: ${left} bytes less than it said`);
}

async function* cutOut(pieces: AsyncIterable<Uint8Array>, from: number, bytes: number): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const piece of pieces) {
    const cut = piece.subarray(Math.max(0, from - at), Math.max(0, from + bytes - at));
    at += piece.length;
    if (cut.length > 0) yield cut;
    if (at >= from + bytes) return;
  }
}
