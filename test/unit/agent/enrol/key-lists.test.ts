import { walkKeyLists, type Listed } from '@paddock/agent/enrol/key-lists.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

let [first, second, thief, online]: TestKey[] = [];
beforeAll(async () => {
  [first, second, thief, online] = await Promise.all([makeTestKey(), makeTestKey(), makeTestKey(), makeTestKey()]);
});
const given = (key: TestKey | undefined): TestKey => key ?? expect.unreachable();

/** A list that names the root of the next one. */
const listOf = (version: number, root: TestKey, by: TestKey): Promise<string> =>
  seal(
    'keys',
    {
      v: 1,
      version,
      issuedAt: '2026-11-24T00:00:00.000Z',
      root: root.publicJwk,
      keys: [given(online).publicJwk],
      authorities: ['MAAAAAAAAAAAAAAA'],
      epoch: 0,
    },
    by.signing,
  );

/** Four lists, with a change of the root in the second. */
const history = (): Promise<string[]> =>
  Promise.all([
    listOf(1, given(first), given(first)),
    listOf(2, given(second), given(first)),
    listOf(3, given(second), given(second)),
    listOf(4, given(second), given(second)),
  ]);

async function walk(lists: readonly string[], pinned: TestKey, known: Listed | null = null): Promise<Listed> {
  const fetched = (version: number | null): Promise<string> =>
    Promise.resolve((version === null ? lists.at(-1) : lists[version - 1]) ?? expect.unreachable());
  return walkKeyLists(fetched, pinned.verification, known);
}

describe('the walk over lists of keys', () => {
  it('follows a change of the root, from what was pinned and from what was known', async () => {
    const lists = await history();
    expect((await walk(lists, given(first))).version).toBe(4);
    const known = await walk(lists.slice(0, 1), given(first));
    expect((await walk(lists, given(first), known)).version).toBe(4);
    expect((await walk(lists, given(second))).version).toBe(4);
  });

  it.each<[string, string, (lists: string[]) => Promise<unknown>]>([
    [
      'a stolen key seals the next',
      'key_list_seal',
      async (lists) => lists.push(await listOf(5, given(thief), given(thief))),
    ],
    [
      'the old root seals the next',
      'key_list_seal',
      async (lists) => lists.push(await listOf(5, given(first), given(first))),
    ],
    [
      'a version is left out',
      'key_list_version',
      async (lists) => (lists[2] = await listOf(4, given(second), given(second))),
    ],
    ['they are older than what is known', 'key_list_old', async (lists) => (lists.length = 1)],
    [
      'one version has two contents',
      'key_list_version',
      async (lists) => {
        lists.length = 2;
        lists[1] = await listOf(2, given(thief), given(first));
      },
    ],
  ])('goes nowhere when %s', async (_what, code, spoil) => {
    const lists = await history();
    const known = await walk(lists.slice(0, 2), given(first));
    await spoil(lists);
    await expect(walk(lists, given(first), known)).rejects.toMatchObject({ code });
  });

  it('goes nowhere without a list of the pinned root, or with a broken seal', async () => {
    await expect(walk(await history(), given(thief))).rejects.toMatchObject({ code: 'key_list_seal' });
    const [one = ''] = await history();
    const broken = `${one.slice(0, -8)}AAAAAAAA`;
    await expect(walk([broken], given(first))).rejects.toMatchObject({ code: 'signature_invalid' });
  });
});
