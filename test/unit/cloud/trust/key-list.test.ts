import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextKeyList, type Believed } from '@paddock/cloud/trust/key-list.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { parseKeyList, type KeyList } from '@paddock/shared/enrolment.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { openKeyList } from '@paddock/shared/key-list.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { makeTestKey } from '../../../harness/signing.ts';

const NOW = wallMs(Date.UTC(2026, 10, 24));
const [root, other, online, second] = await Promise.all([makeTestKey(), makeTestKey(), makeTestKey(), makeTestKey()]);
const authority = (n: number): string => Buffer.alloc(64, n).toString('base64url');
const believed = (fields: Partial<Believed> = {}): Believed => ({
  root: root.publicJwk,
  keys: [online.publicJwk],
  authorities: [authority(1)],
  epoch: 0,
  ...fields,
});

const first = (await nextKeyList(null, believed(), NOW)) as KeyList;
const rootKey = await importVerificationKey(root.publicJwk);
const keysOf = (list: KeyList | null) => list?.keys.map(({ x }) => x);

describe('the next list of keys', () => {
  it('is the first one, and one that devices can read', () => {
    expect(first).toMatchObject({ version: 1, epoch: 0, authorities: [authority(1)] });
    expect(parseKeyList(first)).toEqual(first);
  });

  it('is none when the newest one says all of it, in whatever order', async () => {
    expect(await nextKeyList(first, believed(), NOW)).toBeNull();
    const both = (await nextKeyList(first, believed({ keys: [second.publicJwk] }), NOW)) as KeyList;
    expect(await nextKeyList(both, believed({ keys: [online.publicJwk] }), NOW)).toBeNull();
  });

  it('keeps what other instances sign with until somebody withdraws it', async () => {
    const both = (await nextKeyList(first, believed({ keys: [second.publicJwk] }), NOW)) as KeyList;
    expect([both.version, keysOf(both)]).toEqual([2, [second.publicJwk.x, online.publicJwk.x]]);
    const { keyId } = await importVerificationKey(online.publicJwk);
    const only = await nextKeyList(both, believed({ keys: [second.publicJwk] }), NOW, { keyIds: [keyId] });
    expect([only?.version, keysOf(only)]).toEqual([3, [second.publicJwk.x]]);
  });

  it('names a new root, and new and withdrawn authorities', async () => {
    const next = await nextKeyList(first, believed({ root: other.publicJwk, authorities: [authority(2)] }), NOW, {
      authorities: [authority(1)],
    });
    expect([next?.root.x, next?.authorities]).toEqual([other.publicJwk.x, [authority(2)]]);
  });

  it('never goes back in its epoch, and holds no private part', async () => {
    const later = (await nextKeyList(first, believed({ epoch: 3 }), NOW)) as KeyList;
    expect(later.epoch).toBe(3);
    expect(await nextKeyList(later, believed({ epoch: 1 }), NOW)).toBeNull();
    const leaky = await nextKeyList(null, believed({ root: { ...root.publicJwk, d: 'secret' } }), NOW);
    expect(JSON.stringify(leaky)).not.toContain('secret');
  });
});

describe('a sealed list', () => {
  const codeOf = async (sealed: string) =>
    openKeyList(sealed, rootKey).then(
      () => null,
      (cause: unknown) => (cause instanceof Refusal ? cause.code : cause),
    );

  it('opens with its root', async () => {
    expect(await openKeyList(await seal('keys', first, root.signing), rootKey)).toEqual(first);
  });

  it.each([
    ['key_unknown', async () => seal('keys', first, other.signing)],
    ['typ_mismatch', async () => seal('answer', first, root.signing)],
    ['payload_invalid', async () => seal('keys', { ...first, keys: [] }, root.signing)],
    ['version_unsupported', async () => seal('keys', { ...first, v: 9 }, root.signing)],
    ['envelope_malformed', async () => 'no list'],
  ])('is refused as %s', async (code, make) => {
    expect(await codeOf(await make())).toBe(code);
  });

  it('lets no change of a byte through', async () => {
    const sealed = await seal('keys', first, root.signing);
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: sealed.length - 1 }),
        fc.constantFrom('A', 'a', '0', '_', '-', '.'),
        async (at, char) => {
          fc.pre(sealed[at] !== char);
          expect(await codeOf(sealed.slice(0, at) + char + sealed.slice(at + 1))).not.toBeNull();
        },
      ),
    );
  });
});
