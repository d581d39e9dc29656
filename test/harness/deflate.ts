import { deflateRawSync } from 'node:zlib';
import type { Deflate } from '@paddock/shared/envelope.ts';

/** Raw deflate with a preset dictionary, at zlib's best: what a device would send. */
export const deflater: Deflate = {
  deflate: (bytes, dictionary) => deflateRawSync(bytes, { dictionary, level: 9, memLevel: 9 }),
};
