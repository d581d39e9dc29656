import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Deflate, Inflate } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';

/** Raw deflate (RFC 1951) with a preset dictionary, by zlib; a report is small, so the best level costs nothing. */
export const deflater: Deflate = {
  deflate: (bytes, dictionary) => deflateRawSync(bytes, { dictionary, level: 9 }),
};

/** Stops at the bound, so that a small envelope cannot take more memory than the largest payload may. */
export const inflater: Inflate = {
  inflate(bytes, dictionary, maxBytes) {
    try {
      return inflateRawSync(bytes, { dictionary, maxOutputLength: maxBytes });
    } catch (cause) {
      if (isTooLarge(cause)) throw new Refusal('payload_too_large', undefined, { cause });
      throw cause;
    }
  },
};

const isTooLarge = (cause: unknown): boolean =>
  cause instanceof RangeError && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE';
