import { constants, zstdCompressSync } from 'node:zlib';
import { zstd } from '@paddock/agent/adapters/zstd.ts';
import { describe, expect, it, test } from 'vitest';
import { randomOf } from '../../../harness/random.ts';
import { codeThrown } from '../../../harness/tuf/client.ts';

const random = randomOf(23);
const NOISE = Uint8Array.from({ length: 300_000 }, () => Math.floor(random() * 256));

/** A frame that says how much of the past it needs (RFC 8878, section 3.1.1), and holds one raw block of five bytes. */
const frameWith = (windowLog: number): Uint8Array =>
  Buffer.concat([
    Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 0x01 | (5 << 3), 0, 0),
    Buffer.from('hello'),
  ]);

const streamed = async (bytes: Uint8Array, most: number): Promise<number> => {
  let length = 0;
  const pieces = (async function* () {
    yield bytes;
  })();
  for await (const piece of zstd.inflateStream(pieces, most)) length += piece.length;
  return length;
};

describe('a frame', () => {
  test.each([10, 20, 23])('may ask for a window of 2^%i bytes', async (windowLog) => {
    expect(Buffer.from(zstd.inflate(frameWith(windowLog), 5)).toString()).toBe('hello');
    expect(await streamed(frameWith(windowLog), 5)).toBe(5);
  });

  test.each([24, 27, 30])('that asks for one of 2^%i is refused before that is taken', async (windowLog) => {
    const inflate = async (): Promise<unknown> => zstd.inflate(frameWith(windowLog), 5);
    expect(await codeThrown(inflate())).toBe('bundle_malformed');
    expect(await codeThrown(streamed(frameWith(windowLog), 5))).toBe('bundle_malformed');
  });

  it('may have all of a content as its window, however long that is', () => {
    const long = Buffer.alloc(20_000_000, NOISE);
    const frame = zstdCompressSync(long, { pledgedSrcSize: long.length, params: { [constants.ZSTD_c_windowLog]: 27 } });
    expect(long.equals(zstd.inflate(frame, long.length))).toBe(true);
  });
});

it('holds no more than what comes out', () => {
  expect(zstd.inflate(zstdCompressSync(NOISE), NOISE.length).buffer.byteLength).toBeLessThan(NOISE.length + 100);
  const [base, content] = [NOISE, Uint8Array.from([1, ...NOISE])];
  const delta = zstdCompressSync(content, { dictionary: Buffer.from(base) });
  expect(Buffer.from(content).equals(zstd.inflate(delta, content.length, base))).toBe(true);
});
