import { once } from 'node:events';
import { constants, createZstdDecompress, zstdDecompressSync, type ZstdDecompress } from 'node:zlib';
import type { Zstd } from '../ports-firmware.ts';

/** A stream holds so much of the past while it inflates: 8 MiB. Bundles are made with no more. */
const STREAM_WINDOW_LOG = 23;

/** zstd of Node's own library. */
export const zstd: Zstd = {
  inflate(bytes, most, dictionary) {
    const inflated = zstdDecompressSync(bytes, {
      // None at all is not to be had.
      maxOutputLength: Math.max(1, most),
      ...(dictionary && { dictionary: Buffer.from(dictionary.buffer, dictionary.byteOffset, dictionary.byteLength) }),
    });
    if (inflated.length > most) throw tooLong(most);
    return inflated;
  },
  async *inflateStream(bytes, most) {
    const frame = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: STREAM_WINDOW_LOG } });
    let out = 0;
    for await (const piece of through(frame, bytes)) {
      out += piece.length;
      if (out > most) throw tooLong(most);
      yield piece;
    }
  },
};

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
