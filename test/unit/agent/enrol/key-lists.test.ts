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
const listOf = (version: number, root: TestKey, by: TestKey, epoch = 0): Promise<string> =>
  seal(
    'keys',
    {
      v: 1,
      version,
      issuedAt: '2026-11-24T00:00:00.000Z',
      root: root.publicJwk,
      keys: [given(online).publicJwk],
      authorities: ['MAAAAAAAAAAAAAAA'],
      epoch,
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

describe('the walk after the cloud came back from a backup', () => {
  const RESTORED = 1_795_000_000;

  /** What the backup held, what was sealed after it and got lost, and what the restored service sealed instead. */
  async function forked() {
    const [one, two] = [given(first), given(second)];
    const kept = [await listOf(1, one, one), await listOf(2, one, one)];
    const lost = [...kept, await listOf(3, one, one), await listOf(4, one, one), await listOf(5, one, one)];
    const restored = [...kept, await listOf(3, one, one, RESTORED)];
    return { one, two, kept, lost, restored };
  }

  it.each([
    ['what the backup held', 2],
    ['the lost list of the same version', 3],
    ['lost lists of greater versions', 5],
  ])('goes on from %s', async (_what, seen) => {
    const { one, lost, restored } = await forked();
    const known = await walk(lost.slice(0, seen), one);
    expect(await walk(restored, one, known)).toMatchObject({ version: 3, epoch: RESTORED });
    restored.push(await listOf(4, one, one, RESTORED), await listOf(5, one, one, RESTORED));
    expect(await walk(restored, one, known)).toMatchObject({ version: 5, epoch: RESTORED });
  });

  it('never goes back from there: neither to the lists that were lost nor to those of the backup', async () => {
    const { one, kept, lost, restored } = await forked();
    const known = await walk(restored, one, await walk(lost, one));
    for (const lists of [lost, kept, lost.slice(0, 3)])
      await expect(walk(lists, one, known)).rejects.toMatchObject({ code: 'key_list_old' });
  });

  it('follows a second restore, of an older backup than the first one', async () => {
    const { one, kept, restored } = await forked();
    restored.push(await listOf(4, one, one, RESTORED));
    const again = [...kept.slice(0, 1), await listOf(2, one, one, RESTORED + 60)];
    expect(await walk(again, one, await walk(restored, one))).toMatchObject({ version: 2, epoch: RESTORED + 60 });
  });

  it('follows a change of the root that the restored service made', async () => {
    const { one, two, lost, restored } = await forked();
    restored.push(await listOf(4, two, one, RESTORED), await listOf(5, two, two, RESTORED));
    expect(await walk(restored, one, await walk(lost, one))).toMatchObject({ version: 5, root: two.verification });
  });

  it('is taken by no root that was replaced meanwhile, until the new one seals', async () => {
    const { one, two, kept, restored } = await forked();
    const known = await walk([...kept, await listOf(3, two, one), await listOf(4, two, two)], one);
    await expect(walk(restored, one, known)).rejects.toMatchObject({ code: 'key_list_seal' });
    restored.push(await listOf(4, two, one, RESTORED));
    await expect(walk(restored, one, known)).rejects.toMatchObject({ code: 'key_list_seal' });
    restored.push(await listOf(5, two, two, RESTORED));
    expect(await walk(restored, one, known)).toMatchObject({ version: 5, epoch: RESTORED });
  });

  it.each<[string, string, (lists: string[]) => Promise<unknown>]>([
    [
      'a stolen key seals a greater epoch',
      'key_list_seal',
      async (lists) => (lists[2] = await listOf(3, given(thief), given(thief), RESTORED)),
    ],
    [
      'a list of the backup says to be of a greater epoch',
      'signature_invalid',
      async (lists) => {
        const [header, payload = '', signature] = (lists[2] ?? '').split('.');
        const claimed = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
        const forged = Buffer.from(JSON.stringify({ ...claimed, epoch: RESTORED + 1 })).toString('base64url');
        lists[2] = [header, forged, signature].join('.');
      },
    ],
    [
      'epochs go back on the way',
      'key_list_epoch',
      async (lists) =>
        lists.push(
          await listOf(4, given(first), given(first)),
          await listOf(5, given(first), given(first), RESTORED + 1),
          await listOf(6, given(second), given(first), RESTORED + 1),
        ),
    ],
  ])('goes nowhere when %s', async (_what, code, spoil) => {
    const { one, lost, kept, restored } = await forked();
    const known = await walk(code === 'key_list_epoch' ? kept : lost, one);
    await spoil(restored);
    await expect(walk(restored, one, known)).rejects.toMatchObject({ code });
  });
});
