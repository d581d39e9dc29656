import { MAX_DELTA_BYTES } from '@paddock/shared/pack.ts';
import { makePack } from '@paddock/cloud/bundles/make-pack.ts';
import type { Bundle } from '@paddock/cloud/bundles/bundle.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bundleOf, bytesFrom, heldOf, memorySpool, unpack, type Tree } from '../../../harness/bundles.ts';

const packOf = (to: Bundle, from: Bundle | null): Promise<Buffer> => bytesFrom(makePack(to, from, memorySpool()));

const source = (seed: number): string =>
  Array.from(
    { length: 200 },
    (_, line) => `const value${line} = ${(seed * 7919 + line * 104_729) % 1_000_003};\n`,
  ).join('');

/** Takes the pack apart, and holds what a device then has against the new bundle. */
async function expectArrives(from: Bundle | null, to: Bundle): Promise<{ bytes: number; encodings: string[] }> {
  const had = from && (await heldOf(from));
  const pack = await packOf(to, from);
  const { index, objects, parts } = unpack(pack, had);
  expect(Buffer.from(index)).toEqual(Buffer.from(to.indexBytes));
  const wanted = await heldOf(to);
  for (const [sha256, content] of wanted.objects)
    expect(Buffer.from(objects.get(sha256) ?? had?.objects.get(sha256) ?? 'nothing')).toEqual(Buffer.from(content));
  expect(await packOf(to, from)).toEqual(pack);
  return { bytes: pack.length, encodings: parts.map(({ encoding }) => encoding) };
}

describe('a pack', () => {
  const tree: Tree = { 'a.js': source(1), 'b.js': source(2), 'c.js': source(3), tiny: 'x' };

  it('brings everything to a device that has nothing', async () => {
    const { encodings } = await expectArrives(null, await bundleOf(tree));
    expect(encodings).toEqual(['zstd', 'zstd', 'zstd', 'plain']);
  });

  it('brings what changed as a delta, and nothing else', async () => {
    const changed = { ...tree, 'b.js': source(2).replace('value5 =', 'value5b ='), 'd.js': source(1) };
    const { bytes, encodings } = await expectArrives(await bundleOf(tree), await bundleOf(changed));
    expect(encodings).toEqual(['delta']);
    expect(bytes).toBeLessThan(400);
  });

  it('brings no delta where it is not shorter', async () => {
    const { encodings } = await expectArrives(
      await bundleOf({ a: 'nothing in common '.repeat(50), tiny: 'x' }),
      await bundleOf({ a: source(9), tiny: 'y' }),
    );
    expect(encodings).toEqual(['zstd', 'plain']);
  });

  it('brings nothing but the index when only paths and modes differ', async () => {
    const moved = { 'lib/a.js': source(1), 'b.js': { content: source(2), mode: 0o755 }, 'c.js': { link: 'lib/a.js' } };
    expect((await expectArrives(await bundleOf(tree), await bundleOf(moved))).encodings).toEqual([]);
    expect((await expectArrives(await bundleOf(tree), await bundleOf(tree))).encodings).toEqual([]);
    expect((await expectArrives(await bundleOf(tree), await bundleOf({}))).encodings).toEqual([]);
  });

  it('brings no delta of what a device could not hold twice', async () => {
    const long = Buffer.alloc(MAX_DELTA_BYTES + 1, source(1));
    const [before, after] = [await bundleOf({ long }), await bundleOf({ long: Buffer.from(long).fill('!', 5, 9) })];
    const { parts } = unpack(await packOf(after, before), await heldOf(before));
    expect(parts.map(({ encoding }) => encoding)).toEqual(['zstd']);
  });

  it('brings a device from any bundle to any other', async () => {
    const content = fc.oneof(fc.string({ maxLength: 40 }), fc.nat(5).map(source));
    const trees = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd/e', 'd/f'), content);
    await fc.assert(
      fc.asyncProperty(trees, trees, async (from, to) => {
        await expectArrives(await bundleOf(from), await bundleOf(to));
      }),
      { numRuns: 40 },
    );
  });
});
