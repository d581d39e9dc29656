import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { newIdentity, parseIdentity, parseRecipient, type OpenWith } from '@paddock/cloud/backup/keys.ts';
import { seal, unseal } from '@paddock/cloud/backup/sealing.ts';

const PASSPHRASE = { passphrase: 'correct horse battery' };
const HEAD = { backupId: 'one', createdAt: '2026-11-24T00:00:00.000Z' };
const CHUNK = 64 * 1024;

/** In pieces of an odd size, as streams bring them. */
async function* pieces(bytes: Buffer, size = 10_007): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of stream) all.push(piece);
  return Buffer.concat(all);
}

/** The content, or the code of what is wrong. */
const opened = (sealed: Buffer, open: OpenWith = PASSPHRASE): Promise<unknown> =>
  whole(unseal(pieces(sealed), open)).catch((error: unknown) =>
    error instanceof Error && 'code' in error ? error.code : error,
  );

describe('a sealed backup', () => {
  it.each([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1_000_000])('of %i bytes opens as it was', async (size) => {
    const plain = randomBytes(size);
    const { privatePem, publicPem } = newIdentity();
    const sealed = await whole(seal(pieces(plain), HEAD, { recipient: parseRecipient(publicPem) }));
    const again = await opened(sealed, { identity: parseIdentity(privatePem) });
    expect(Buffer.isBuffer(again) && again.equals(plain)).toBe(true);
    if (size > 16) expect(sealed.includes(plain)).toBe(false);
  });

  it('opens with its passphrase only, and for its recipient only', async () => {
    const plain = Buffer.from('content');
    const sealed = await whole(seal(pieces(plain), HEAD, PASSPHRASE));
    expect(await opened(sealed)).toEqual(plain);
    expect(await opened(sealed, { passphrase: 'correct horse batterY' })).toBe('backup_damaged');
    const [one, other] = [newIdentity(), newIdentity()];
    const forOne = await whole(seal(pieces(plain), HEAD, { recipient: parseRecipient(one.publicPem) }));
    expect(await opened(forOne, { identity: parseIdentity(other.privatePem) })).toBe('backup_damaged');
    expect(await opened(forOne)).toBe('passphrase_missing');
    expect(await opened(sealed, { identity: parseIdentity(one.privatePem) })).toBe('passphrase_missing');
  });

  it('shows every altered byte, a moved or missing chunk, and an end cut off', async () => {
    const { privatePem, publicPem } = newIdentity();
    const open = { identity: parseIdentity(privatePem) };
    const sealed = await whole(seal(pieces(randomBytes(3 * CHUNK)), HEAD, { recipient: parseRecipient(publicPem) }));
    const body = sealed.indexOf('\n', 20) + 1;
    for (let at = 0; at < sealed.length; at += at < body + 40 ? 1 : 4_001) {
      const altered = Buffer.from(sealed);
      altered[at] = (altered[at] ?? 0) ^ 1;
      expect([at, await opened(altered, open)]).toEqual([at, expect.stringMatching(/^backup_(damaged|malformed)$/)]);
    }
    const chunk = (number: number) => sealed.subarray(body + number * (CHUNK + 16), body + (number + 1) * (CHUNK + 16));
    const head = sealed.subarray(0, body);
    for (const chunks of [[0, 1], [0], [], [1, 0, 2], [0, 2], [0, 1, 2, 2]])
      expect(await opened(Buffer.concat([head, ...chunks.map(chunk)]), open)).toBe('backup_damaged');
    expect(await opened(sealed.subarray(0, -1), open)).toBe('backup_damaged');
    expect(await opened(Buffer.concat([sealed, Buffer.from('x')]), open)).toBe('backup_damaged');
  });

  it('refuses what is no backup, a short passphrase, a costly header and another kind of key', async () => {
    expect(await opened(Buffer.from('something else\n'))).toBe('backup_malformed');
    expect(await opened(Buffer.alloc(100_000))).toBe('backup_malformed');
    await expect(whole(seal(pieces(Buffer.alloc(1)), HEAD, { passphrase: 'short' }))).rejects.toMatchObject({
      code: 'passphrase_short',
    });
    const costly = { ...HEAD, lock: { kind: 'passphrase', n: 2 ** 30, r: 8, p: 1, salt: 'AAAA' } };
    expect(await opened(Buffer.from(`paddock-backup 1\n${JSON.stringify(costly)}\n`))).toBe('backup_malformed');
    expect(() => parseRecipient('-----BEGIN PUBLIC KEY-----')).toThrow(/X25519/);
  });
});
