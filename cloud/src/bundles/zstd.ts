import { once } from 'node:events';
import { promisify } from 'node:util';
import {
  constants,
  createZstdCompress,
  createZstdDecompress,
  zstdCompress,
  type ZstdCompress,
  type ZstdDecompress,
} from 'node:zlib';
import { BundleError } from '@paddock/shared/bundle-error.ts';

const LEVEL = 19;
/** Of what is too long to be held, and is compressed twice: five times as fast, and a few per cent longer. */
const LONG_LEVEL = 12;
/** A device holds so much of the past while it inflates: 8 MiB, whatever the size of a file. */
const WINDOW_LOG = 23;
const DELTA_WINDOW_LOG = 27;
const LEAST_WINDOW_LOG = 10;

const compressed = promisify(zstdCompress);

/** A content that is held in memory, compressed. */
export const compress = (content: Uint8Array): Promise<Uint8Array> =>
  compressed(content, {
    params: parameters(LEVEL, windowLogFor(content.length, WINDOW_LOG)),
    pledgedSrcSize: content.length,
  });

/** The same with another content as its dictionary: what they have in common costs next to nothing, however far apart. */
export const compressDelta = (content: Uint8Array, base: Uint8Array): Promise<Uint8Array> =>
  compressed(content, {
    dictionary: Buffer.from(base.buffer, base.byteOffset, base.byteLength),
    params: parameters(LEVEL, windowLogFor(content.length + base.length, DELTA_WINDOW_LOG)),
    pledgedSrcSize: content.length,
  });

const parameters = (level: number, windowLog: number): Record<number, number> => ({
  [constants.ZSTD_c_compressionLevel]: level,
  [constants.ZSTD_c_windowLog]: windowLog,
});

const windowLogFor = (bytes: number, most: number): number =>
  Math.min(most, Math.max(LEAST_WINDOW_LOG, Math.ceil(Math.log2(bytes + 1))));

/** A content that is too long to be held. @param bytes its length, which is written into the frame */
export const compressStream = (pieces: AsyncIterable<Uint8Array>, bytes: number): AsyncIterable<Uint8Array> =>
  through(createZstdCompress({ params: parameters(LONG_LEVEL, WINDOW_LOG), pledgedSrcSize: bytes }), pieces);

/**
 * One frame, and nothing behind it. How much comes out is to be bounded by who reads it.
 * @param bytes the length of what is packed
 * @throws BundleError `bundle_malformed`
 */
export async function* inflate(pieces: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  const frame = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG } });
  try {
    yield* through(frame, pieces);
  } catch (cause) {
    if (cause instanceof BundleError) throw cause;
    throw new BundleError('bundle_malformed', 'an object is no zstd', { cause });
  }
  // What the frame did not need stands behind it.
  if (frame.bytesWritten !== bytes)
    throw new BundleError('bundle_malformed', 'something follows the zstd of an object');
}

async function* through(
  transform: ZstdCompress | ZstdDecompress,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const fed = feed(transform, pieces, stop.signal);
  try {
    for await (const piece of transform) yield piece as Uint8Array;
  } finally {
    stop.abort();
    await fed;
  }
}

/** A failure of the source ends the transform with it: who reads it hears of it there. */
async function feed(
  transform: ZstdCompress | ZstdDecompress,
  pieces: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const piece of pieces) {
      if (signal.aborted) return;
      if (!transform.write(piece)) await once(transform, 'drain', { signal });
    }
    transform.end();
  } catch (error) {
    if (!signal.aborted) transform.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}
