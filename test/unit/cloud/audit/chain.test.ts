import { expect, it } from 'vitest';
import { ChainWalk, linkHash, type ChainLink } from '@paddock/cloud/audit/chain.ts';

const NOTHING = '0'.repeat(64);

function chainOf(entries: readonly object[], first = 1, previous = NOTHING): ChainLink[] {
  const links: ChainLink[] = [];
  for (const [index, told] of entries.entries()) {
    const link = { seq: first + index, entry: JSON.stringify(told), previous: links.at(-1)?.hash ?? previous };
    links.push({ ...link, hash: linkHash(link) });
  }
  return links;
}

function walked(links: readonly ChainLink[]) {
  const walk = new ChainWalk();
  try {
    for (const link of links) walk.take(link);
    return walk.end();
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}

const FOUR = chainOf([{ a: 1 }, { a: 2 }, { a: 3 }, { a: 4 }]);

it('takes a chain as it was written, and an empty one', () => {
  expect(walked(FOUR)).toEqual({ entries: 4, first: 1, last: 4, hash: FOUR[3]?.hash });
  expect(walked([])).toEqual({ entries: 0, first: 1, last: 0, hash: NOTHING });
});

it('shows a hole, an altered entry, an entry put in, and a beginning that nobody took', () => {
  expect(walked(FOUR.toSpliced(1, 1))).toBe('audit_entry_missing');
  expect(walked(FOUR.with(1, { ...FOUR[1], entry: '{"a":9}' } as ChainLink))).toBe('audit_entry_altered');
  const forged = { seq: 2, entry: '{"a":9}', previous: FOUR[0]?.hash ?? '' };
  expect(walked(FOUR.with(1, { ...forged, hash: linkHash(forged) }))).toBe('audit_entry_altered');
  expect(walked(FOUR.slice(2))).toBe('audit_beginning_missing');
  expect(walked(chainOf([{ a: 1 }], 1, '1'.repeat(64)))).toBe('audit_beginning_missing');
});

it('believes a beginning that retention took, when the log says so, and nobody else', () => {
  const gone = FOUR[1];
  const detail = { first: 1, last: 2, hash: gone?.hash };
  const after = (actor: string, told: object) =>
    chainOf([{ a: 3 }, { actor, action: 'forgetAudit', detail: told }], 3, gone?.hash);
  expect(walked(after('service', detail))).toMatchObject({ first: 3, last: 4 });
  expect(walked(after('token:x', detail))).toBe('audit_beginning_missing');
  expect(walked(after('service', { ...detail, last: 1 }))).toBe('audit_beginning_missing');
});
