import { makePack } from '@paddock/cloud/bundles/make-pack.ts';
import type { Bundle } from '@paddock/cloud/bundles/bundle.ts';
import { isFile } from '@paddock/shared/bundle-index.ts';
import { packPathOf, PACK_PREFIX_BYTES, packHeadBytes, parsePackHead, type PackHead } from '@paddock/shared/pack.ts';
import { targetPathOf } from '@paddock/shared/manifest.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { bundleOf, bytesFrom, memorySpool } from '../../../harness/bundles.ts';
import { faultsOf, type TestRelease } from '../../../harness/agent/slots.ts';
import { UpdateDevice, UpdateRepository } from '../../../harness/agent/update-device.ts';
import { targetOf } from '../../../harness/tuf/simulator.ts';

let device: UpdateDevice | null = null;
afterEach(() => device?.stop());

/** Text that hardly packs. @param bytes of it */
function noise(seed: number, bytes: number): string {
  let state = seed;
  const next = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return String.fromCharCode(33 + ((state >>> 16) % 94));
  };
  return Array.from({ length: bytes }, next).join('');
}

const LARGE = noise(1, 700_000);
const HUGE = noise(2, 4_500_000);
const LINES = Array.from({ length: 400 }, (_, n) => `export const line${n} = ${n * 7919};\n`).join('');
const MANY = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`many/${n}.js`, `same ${n % 10} of many`]));
const OLD: Readonly<Record<string, string>> = { ...MANY, 'app.js': LINES, large: LARGE, moved: noise(3, 300), twin: 'twin' };
const NEW: Readonly<Record<string, string>> = {
  ...MANY,
  'app.js': LINES.replace('line200 =', 'lineTwoHundred ='),
  empty: '',
  // Longer than the longest chunk as it comes, and longer than is held in memory.
  huge: HUGE,
  large: `${LARGE.slice(0, 350_000)}changed${LARGE.slice(350_000)}`,
  'moved/to': noise(3, 300),
  'new/one': noise(4, 60),
  'text.txt': 'again and '.repeat(1_000),
  twin: 'twin',
  twin2: 'twin',
};

/** As a device and its test know it. */
const releaseOf = ({ manifest, manifestBytes, sha256, indexBytes }: Bundle, files: TestRelease['files']): TestRelease => ({
  release: { name: manifest.name, version: manifest.version, counter: manifest.counter, sha256 },
  manifest: manifestBytes,
  index: indexBytes,
  files,
});

const packOf = (to: Bundle, from: Bundle | null): Promise<Buffer> => bytesFrom(makePack(to, from, memorySpool()));

function headOf(pack: Buffer): PackHead {
  const bytes = packHeadBytes(pack.subarray(0, PACK_PREFIX_BYTES));
  return parsePackHead(pack.subarray(PACK_PREFIX_BYTES, PACK_PREFIX_BYTES + bytes));
}

describe('packs as the cloud makes them', () => {
  it('are taken by the device: everything at first, then deltas of every kind', async () => {
    const one = await bundleOf(OLD);
    const two = await bundleOf(NEW, { version: '1.1.0', counter: 2 });
    const repository = new UpdateRepository();
    const publish = async (bundle: Bundle, from: Bundle | null): Promise<Buffer> => {
      const { manifest, manifestBytes } = bundle;
      repository.targets[targetPathOf(manifest)] = targetOf(manifestBytes);
      repository.putTarget(targetPathOf(manifest), manifestBytes);
      repository.publish();
      const pack = await packOf(bundle, from);
      repository.files.set(packPathOf(manifest.index.sha256, from && from.manifest.index.sha256), pack);
      return pack;
    };
    await publish(one, null);
    const delta = headOf(await publish(two, one));
    const encodings = new Set(delta.objects.map(({ encoding }) => encoding));
    expect({ index: delta.index.encoding, encodings }).toEqual({
      index: 'delta',
      encodings: new Set(['plain', 'zstd', 'delta']),
    });
    const sizes = two.entries.filter(isFile).map(({ size }) => size);
    expect([Math.min(...sizes), Math.max(...sizes)]).toEqual([0, HUGE.length]);

    device = new UpdateDevice({ repository });
    await device.start();
    for (const release of [releaseOf(one, OLD), releaseOf(two, NEW)]) {
      await device.desire(release);
      await device.untilRuns(release);
      const slot = device.updates.reported().slot ?? 'a';
      expect(faultsOf(device.calls, slot, release.release.sha256, [release])).toEqual([]);
    }
    expect(device.repository.requests.filter((path) => path.includes('/from-'))).not.toEqual([]);
    expect(device.said.filter(({ error }) => error !== undefined)).toEqual([]);
  });

  it('bring everything of a large release to a device that has nothing', async () => {
    const two = await bundleOf(NEW, { version: '1.1.0', counter: 2 });
    const repository = new UpdateRepository();
    repository.targets[targetPathOf(two.manifest)] = targetOf(two.manifestBytes);
    repository.putTarget(targetPathOf(two.manifest), two.manifestBytes);
    repository.publish();
    repository.files.set(packPathOf(two.manifest.index.sha256, null), await packOf(two, null));
    device = new UpdateDevice({ repository });
    await device.start();
    const release = releaseOf(two, NEW);
    await device.desire(release);
    await device.untilRuns(release);
    expect(faultsOf(device.calls, 'a', release.release.sha256, [release])).toEqual([]);
  });
});
