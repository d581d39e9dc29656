import { createHash, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { pack, unpack, type EntrySource } from '@paddock/cloud/backup/archive.ts';

async function* of(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

async function* entries(contents: Readonly<Record<string, Uint8Array[]>>): AsyncGenerator<EntrySource> {
  for (const [name, pieces] of Object.entries(contents)) yield { kind: 'file', name, data: of(...pieces) };
}

async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of stream) all.push(piece);
  return Buffer.concat(all);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function unpacked(bytes: Buffer, size = 65_536): Promise<unknown> {
  const found: Record<string, string> = {};
  try {
    for await (const { name, data } of unpack(inPieces(bytes, size))) found[name] = sum(await whole(data));
    return found;
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

it('unpacks what was packed, whatever pieces it comes in', async () => {
  const large = Array.from({ length: 9 }, () => randomBytes(300_000));
  const contents = { empty: [], small: [Buffer.from('abc')], large, huge: [Buffer.alloc(20_000_000, 'x')] };
  const packed = await whole(pack(entries(contents)));
  const expected = Object.fromEntries(
    Object.entries(contents).map(([name, pieces]) => [name, sum(Buffer.concat(pieces))]),
  );
  expect(await unpacked(packed)).toEqual(expected);
  expect(await unpacked(packed.subarray(), 1_000_003)).toEqual(expected);
  expect(packed.length).toBeLessThan(3_000_000);
});

it('refuses an archive without its end, with a piece or an entry missing, or with one not read', async () => {
  const packed = await whole(pack(entries({ one: [randomBytes(100)], two: [randomBytes(100)] })));
  expect(await unpacked(packed, 7)).toHaveProperty('two');
  for (const cut of [packed.length - 1, packed.length - 200, 3, 0])
    expect(await unpacked(packed.subarray(0, cut))).toBe('backup_malformed');
  const other = await whole(pack(entries({ two: [randomBytes(100)] })));
  const second = packed.indexOf('{"kind":"file","name":"two"}') - 5;
  expect(await unpacked(Buffer.concat([packed.subarray(0, second), other]))).toBe('backup_malformed');
  await expect(async () => {
    for await (const _ of unpack(of(packed)));
  }).rejects.toMatchObject({ code: 'backup_malformed' });
});
