import { inflateRawSync } from 'node:zlib';
import { Refusal } from '@paddock/shared/errors.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';

/**
 * Raw inflation (RFC 1951) with a preset dictionary, by zlib. Stops at the bound, so that
 * a small envelope cannot take more memory than the largest payload is allowed to.
 */
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
