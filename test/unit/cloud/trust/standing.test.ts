import { describe, expect, it } from 'vitest';
import { authorityId, listingsOf, standingOf } from '@paddock/cloud/trust/standing.ts';
import { wallMs } from '@paddock/shared/time.ts';

const [A, B, C] = ['AAAA', 'BBBB', 'CCCC'].map((der) => ({
  der,
  id: authorityId(Buffer.from(der, 'base64url')),
})) as [One, One, One];
interface One {
  readonly der: string;
  readonly id: string;
}

/** Lists that name these, one after the other. */
const listings = (...lists: readonly (readonly One[])[]) =>
  listingsOf(
    lists.map((named, at) => ({
      version: at + 1,
      addedAt: wallMs((at + 1) * 1000),
      authorities: named.map(({ der }) => der),
    })),
  );
const standing = (held: readonly One[], named: ReturnType<typeof listings>, chosen: One | null = null) => {
  const { issuing, beside } = standingOf(held, named, chosen?.id ?? null);
  return [issuing.der, beside.map(({ der }) => der)];
};

describe('what authorities do', () => {
  it('a listing says since when, and whether the newest list names it', () => {
    const all = listings([A], [A, B], [B]);
    expect(all.get(A.id)).toMatchObject({ version: 1, since: 1000, isListed: false });
    expect(all.get(B.id)).toMatchObject({ version: 2, since: 2000, isListed: true });
    expect(all.get(C.id)).toBeUndefined();
  });

  it.each([
    ['the first one issues before there is any list', [A], listings(), null, ['AAAA', []]],
    ['a new one waits until devices know it', [A, B], listings([A]), B, ['AAAA', ['BBBB']]],
    ['and until somebody chooses it', [A, B], listings([A], [A, B]), null, ['AAAA', ['BBBB']]],
    ['the chosen one issues, the old one is accepted', [A, B], listings([A], [A, B]), B, ['BBBB', ['AAAA']]],
    ['and chosen back again', [A, B], listings([A], [A, B]), A, ['AAAA', ['BBBB']]],
    ['one that is withdrawn is nothing', [A, B], listings([A], [A, B], [B]), B, ['BBBB', []]],
    ['whoever was chosen', [A, B], listings([A], [A, B], [B]), A, ['BBBB', []]],
    ['one that is not here cannot issue', [A], listings([A], [A, B]), B, ['AAAA', []]],
    ['what devices know goes before what is older', [C, A], listings([A]), null, ['AAAA', ['CCCC']]],
    ['with nothing that they know, the first one has to do', [C], listings([A]), null, ['CCCC', []]],
  ] as const)('%s', (_what, held, named, chosen, expected) => {
    expect(standing(held, named, chosen)).toEqual(expected);
  });

  it('none is left when all are withdrawn', () => {
    expect(() => standing([A], listings([A], [B]))).toThrow(expect.objectContaining({ code: 'ca_withdrawn' }));
  });
});
