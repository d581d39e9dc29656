import { once } from 'node:events';
import { constants, createZstdDecompress, zstdDecompressSync, type ZstdDecompress } from 'node:zlib';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import type { Zstd } from '../ports-firmware.ts';

/** So much of the past may a frame ask to be held while it inflates: 8 MiB. Bundles are made with no more. */
const WINDOW_LOG = 23;
const WINDOW_TOO_LARGE = 'ZSTD_error_frameParameter_windowTooLarge';

/** zstd of Node's own library. */
export const zstd: Zstd = {
  inflate(bytes, most, dictionary) {
    try {
      const inflated = zstdDecompressSync(bytes, {
        // None at all is not to be had.
        maxOutputLength: Math.max(1, most),
        // One that holds all of it, and no more: what comes out is handed on as it is.
        chunkSize: Math.max(constants.Z_MIN_CHUNK, most + 1),
        params: { [constants.ZSTD_d_windowLogMax]: windowLogOf(most) },
        ...(dictionary && { dictionary: Buffer.from(dictionary.buffer, dictionary.byteOffset, dictionary.byteLength) }),
      });
      if (inflated.length > most) throw tooLong(most);
      return inflated;
    } catch (cause) {
      throw namedError(cause, most);
    }
  },
  async *inflateStream(bytes, most) {
    const frame = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG } });
    let out = 0;
    try {
      for await (const piece of through(frame, bytes)) {
        out += piece.length;
        if (out > most) throw tooLong(most);
        yield piece;
      }
    } catch (cause) {
      throw namedError(cause, 0);
    }
  },
};

/** A frame that was made from the whole content has the content as its window, also where that is longer. */
const windowLogOf = (most: number): number => Math.max(WINDOW_LOG, Math.ceil(Math.log2(most + 1)));

function namedError(cause: unknown, most: number): unknown {
  if (!(cause instanceof Error && 'code' in cause && cause.code === WINDOW_TOO_LARGE)) return cause;
  return new BundleError('bundle_malformed', `a frame with a window of more than ${2 ** windowLogOf(most)} bytes`, {
    cause,
  });
}

const tooLong = (most: number): Error => new RangeError(`It inflates to more than ${most} bytes`);

async function* through(frame: ZstdDecompress, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const fed = feed(frame, pieces, stop.signal);
  try {
    for await (const piece of frame) yield piece as Uint8Array;
  } finally {
    stop.abort();
    await fed;
  }
}

/** A failure of the source ends the stream with it: who reads it hears of it there. */
async function feed(frame: ZstdDecompress, pieces: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  try {
    for await (const piece of pieces) {
      if (signal.aborted) return;
      if (!frame.write(piece)) await once(frame, 'drain', { signal });
    }
    frame.end();
  } catch (error) {
    if (!signal.aborted) frame.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}
