import { changesOf, checkCounter, checkTargets, checkWithdrawn, nextTargets } from '@paddock/cloud/tuf/targets.ts';
import { newRoot } from '@paddock/cloud/tuf/root.ts';
import type { Metadata } from '@paddock/cloud/tuf/formats.ts';
import { parseManifest } from '@paddock/shared/manifest.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { expect, it } from 'vitest';
import { bundleOf } from '../../../harness/bundles.ts';
import { newSigner, signed } from '../../../harness/firmware.ts';
import { thrownCode } from './thrown-code.ts';

const NOW = wallMs(Date.UTC(2026, 10, 28, 12));
const DAY_MS = 86_400_000;
const [a, b, c] = [newSigner(), newSigner(), newSigner()] as const;
const root = newRoot(
  {
    root: { keys: [a.key], threshold: 1 },
    targets: { keys: [b.key, c.key], threshold: 2 },
    online: { snapshot: newSigner().key, timestamp: newSigner().key },
  },
  NOW,
);

async function offered(counter: number, name = 'kiosk') {
  const { manifestBytes } = await bundleOf({ a: String(counter) }, { counter, name });
  return { manifest: parseManifest(manifestBytes), manifestBytes };
}
const [one, two, three] = [await offered(1), await offered(2), await offered(3)] as const;
const add = (previous: Metadata<'targets'> | null, ...releases: readonly (typeof one)[]): Metadata<'targets'> =>
  nextTargets(previous, { add: releases }, NOW);

it('a counter has to be greater than every one of its name, and one that is the same is not', async () => {
  expect([1, 2, 3].map((counter) => thrownCode(() => checkCounter({ name: 'kiosk', counter }, 2)))).toEqual([
    'release_counter',
    'release_counter',
    null,
  ]);
  expect(thrownCode(() => add(add(null, two), one))).toBe('release_counter');
  expect(thrownCode(() => add(add(null, two), two))).toBe('release_exists');
  // Another name counts by itself.
  const other = await offered(1, 'locker');
  expect(Object.keys(add(add(null, two), three, other).signed.targets)).toEqual([
    'kiosk/2.json',
    'kiosk/3.json',
    'locker/1.json',
  ]);
});

it('what is withdrawn has to be there, and has to be said', () => {
  const before = add(null, one, two);
  const next = nextTargets(before, { withdraw: [one.manifest] }, NOW);
  expect(thrownCode(() => nextTargets(next, { withdraw: [one.manifest] }, NOW))).toBe('release_unknown');
  const changes = changesOf(before, next);
  expect(changes.withdrawn.map(({ custom }) => custom.counter)).toEqual([1]);
  const code = (...said: Parameters<typeof checkWithdrawn>[2]) => thrownCode(() => checkWithdrawn(changes, next, said));
  expect(code(one.manifest)).toBeNull();
  expect(code()).toBe('release_left_out');
  expect(code(two.manifest)).toBe('release_left_out');
  expect(code(one.manifest, two.manifest)).toBe('release_kept');
  expect(code(one.manifest, three.manifest)).toBe('release_unknown');
});

it('targets follow when a threshold signed them, they are newer, and they are good for a day', () => {
  const before = signed(add(null, one), [b, c]);
  const next = add(before, two);
  const code = (targets: Metadata<'targets'>, now = NOW, by = [b, c]) =>
    thrownCode(() => checkTargets(root, before, signed(targets, by), now));
  expect(code(next)).toBeNull();
  expect(code(next, NOW, [b])).toBe('metadata_unsigned');
  expect(code(next, NOW, [b, a])).toBe('metadata_unsigned');
  expect(code(before)).toBe('metadata_out_of_step');
  expect(code({ ...next, signed: { ...next.signed, version: 1 } })).toBe('metadata_out_of_step');
  // Two people made them in the same second.
  const other = { ...next, signed: { ...next.signed, version: before.signed.version } };
  expect(() => checkTargets(root, before, signed(other, [b, c]), NOW)).toThrow('another content');
  expect(() => checkTargets(root, before, before, NOW)).toThrow('published already');
  const expires = Date.parse(next.signed.expires);
  expect(code(next, wallMs(expires - DAY_MS))).toBeNull();
  expect(code(next, wallMs(expires - DAY_MS + 1))).toBe('metadata_expired');
});
