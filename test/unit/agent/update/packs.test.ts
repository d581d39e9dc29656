import { createHash } from 'node:crypto';
import { zstd } from '@paddock/agent/adapters/zstd.ts';
import { FetchError, type InstallerStatus, type ObjectStore } from '@paddock/agent/ports-firmware.ts';
import { download } from '@paddock/agent/update/download.ts';
import { makePack } from '@paddock/cloud/bundles/make-pack.ts';
import type { Bundle } from '@paddock/cloud/bundles/bundle.ts';
import { isFile, parseIndex } from '@paddock/shared/bundle-index.ts';
import { packPathOf, PACK_PREFIX_BYTES, packHeadBytes, parsePackHead, type PackHead } from '@paddock/shared/pack.ts';
import { describe, expect, it } from 'vitest';
import { bundleOf, bytesFrom, memorySpool } from '../../../harness/bundles.ts';
import { QuickClock } from '../../../harness/agent/quick-clock.ts';

const PIECE_BYTES = 65_536;
const STATUS: InstallerStatus = { running: null, trial: null, other: null, lost: null };
const sha256Of = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');

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
const OLD: Readonly<Record<string, string>> = {
  ...MANY,
  'app.js': LINES,
  large: LARGE,
  moved: noise(3, 300),
  twin: 'twin',
};
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

/** What a device keeps of what came, and of the release that it runs. */
class DeviceStore implements ObjectStore {
  readonly whole = new Map<string, Uint8Array>();
  readonly #parts = new Map<string, Uint8Array[]>();

  list = async () => new Map([...this.whole].map(([sha256, { length }]) => [sha256, length]));
  put = async (sha256: string, content: Uint8Array) => void this.whole.set(sha256, Uint8Array.from(content));
  partBytes = async (key: string) => this.#of(key).reduce((sum, { length }) => sum + length, 0);
  appendPart = async (key: string, bytes: Uint8Array) => void this.#parts.set(key, [...this.#of(key), bytes.slice()]);
  readPart = async function* (this: DeviceStore, key: string) {
    yield* this.#of(key);
  };
  putStream = async (sha256: string, content: AsyncIterable<Uint8Array>) =>
    void this.whole.set(sha256, await bytesFrom(content));
  dropPart = async (key: string) => void this.#parts.delete(key);
  keepOnly = async (keep: ReadonlySet<string>) => {
    for (const sha256 of this.whole.keys()) if (!keep.has(sha256)) this.whole.delete(sha256);
  };

  #of = (key: string): Uint8Array[] => this.#parts.get(key) ?? [];
}

const packOf = (to: Bundle, from: Bundle | null): Promise<Buffer> => bytesFrom(makePack(to, from, memorySpool()));

function headOf(pack: Buffer): PackHead {
  const bytes = packHeadBytes(pack.subarray(0, PACK_PREFIX_BYTES));
  return parsePackHead(pack.subarray(PACK_PREFIX_BYTES, PACK_PREFIX_BYTES + bytes));
}

/** Downloads what the cloud made. @returns the contents of all objects that came, by hash */
async function arrives(to: Bundle, from: Bundle | null, pack: Buffer): Promise<ReadonlyMap<string, Uint8Array>> {
  const path = packPathOf(to.manifest.index.sha256, from && from.manifest.index.sha256);
  const store = new DeviceStore();
  const repository = {
    async *part(asked: string, first: number, bytes: number) {
      if (asked !== path) throw new FetchError('fetch_missing', asked);
      for (let at = first; at < Math.min(first + bytes, pack.length); at += PIECE_BYTES)
        yield pack.subarray(at, Math.min(at + PIECE_BYTES, first + bytes, pack.length));
    },
  };
  const content = from && {
    slot: 'a' as const,
    release: { name: 'kiosk-app', version: '1.0.0', counter: 1, sha256: from.sha256 },
    manifest: from.manifestBytes,
    index: from.indexBytes,
  };
  const installer = {
    kind: 'slots' as const,
    content: async () => content,
    read: async (_slot: string, asked: string) => Buffer.from(OLD[asked] ?? ''),
    freeBytes: async () => 1_000_000_000,
    status: async () => STATUS,
    objects: store,
  };
  const parts = { repository, installer, zstd, clock: new QuickClock() };
  const options = { isWhole: false, progress: () => {} };
  const index = await download(parts, to.manifest, options, new AbortController().signal);
  expect(Buffer.from(index).equals(to.indexBytes)).toBe(true);
  return store.whole;
}

/** Everything of the new release is there: it came, or was there before. */
function expectWhole(to: Bundle, came: ReadonlyMap<string, Uint8Array>, had: readonly string[]): void {
  const there = new Map(had.map((content) => [sha256Of(content), Buffer.from(content) as Uint8Array]));
  for (const { path, sha256 } of parseIndex(to.indexBytes).filter(isFile)) {
    const content = came.get(sha256) ?? there.get(sha256);
    expect([path, content && sha256Of(content)]).toEqual([path, sha256Of(NEW[path] ?? 'nothing')]);
  }
}

describe('packs as the cloud makes them', async () => {
  const one = await bundleOf(OLD);
  const two = await bundleOf(NEW, { version: '1.1.0', counter: 2 });

  it('bring a device from one release to the next, by every encoding that there is', async () => {
    const pack = await packOf(two, one);
    const { index, objects } = headOf(pack);
    expect(index.encoding).toBe('delta');
    expect(new Set(objects.map(({ encoding }) => encoding))).toEqual(new Set(['plain', 'zstd', 'delta']));
    const sizes = two.entries.filter(isFile).map(({ size }) => size);
    expect([Math.min(...sizes), Math.max(...sizes)]).toEqual([0, HUGE.length]);
    const came = await arrives(two, one, pack);
    expectWhole(two, came, Object.values(OLD));
    expect(came.size).toBe(objects.length);
  });

  it('bring everything to a device that has nothing', async () => {
    const pack = await packOf(two, null);
    expect(headOf(pack).index.encoding).toBe('zstd');
    expectWhole(two, await arrives(two, null, pack), []);
  });

  it('are refused when they are not of this release, or are cut', async () => {
    const pack = await packOf(two, one);
    await expect(arrives(two, one, await packOf(one, null))).rejects.toMatchObject({ code: 'size_mismatch' });
    await expect(arrives(two, one, pack.subarray(0, -1))).rejects.toMatchObject({ code: 'bundle_truncated' });
  });
});
