import { zstdCompressSync } from 'node:zlib';
import { zstd } from '@paddock/agent/adapters/zstd.ts';
import { createInstaller, type AskInstaller } from '@paddock/agent/slots/installer.ts';
import { createInstallerWork } from '@paddock/agent/slots/installer-work.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import { FetchError, type TreeCalls } from '@paddock/agent/ports-firmware.ts';
import { CHUNK_BYTES, fetchLarge, partKey } from '@paddock/agent/update/object-fetch.ts';
import type { OpenPack } from '@paddock/agent/update/pack-reader.ts';
import type { PlannedObject } from '@paddock/agent/update/pack-plan.ts';
import { describe, expect, it } from 'vitest';
import { FaultyCalls } from '../../../harness/agent/faulty-calls.ts';
import { TreeFiles } from '../../../harness/agent/tree-files.ts';
import { randomOf } from '../../../harness/random.ts';
import { codeThrown } from '../../../harness/tuf/client.ts';

const GO_ON = new AbortController().signal;
const random = randomOf(7);
const CONTENT = Uint8Array.from({ length: 2 * CHUNK_BYTES + 60_000 }, () => Math.floor(random() * 256));
const OFFSET = 100;
const PLAIN: PlannedObject = {
  sha256: sha256Of(CONTENT),
  size: CONTENT.length,
  base: null,
  encoding: 'plain',
  offset: OFFSET,
  bytes: CONTENT.length,
};
const ENDLESS = zstdCompressSync(Buffer.alloc(5_000_000));
const KEY = partKey('a.pack', PLAIN.sha256);

/** The real store on a file system in memory. */
function storeOn(calls: TreeCalls) {
  const work = createInstallerWork(calls);
  const ask = (async (name: keyof typeof work, given: readonly unknown[]) =>
    (work[name] as (...of: readonly unknown[]) => unknown)(...given)) as AskInstaller;
  const { objects, read } = createInstaller(calls, ask);
  return { objects, read: (path: string, most: number) => read('a', path, most), zstd };
}

/** A pack with one object, whose connection breaks behind so many bytes. */
function packWith(
  content: Uint8Array,
  cutAfter = Number.POSITIVE_INFINITY,
  onCut = (): void => {},
): OpenPack & { readonly from: number[] } {
  const from: number[] = [];
  const head = { index: { bytes: 0, encoding: 'plain' }, objects: [] } as const;
  return {
    path: 'a.pack',
    head,
    offset: OFFSET,
    from,
    async *read(at, bytes) {
      from.push(at - OFFSET);
      let sent = 0;
      for (let next = at - OFFSET; next < at - OFFSET + bytes; next += 10_000) {
        if (sent >= cutAfter) {
          onCut();
          throw new FetchError('fetch_failed', 'it broke');
        }
        sent += 10_000;
        yield content.subarray(next, Math.min(next + 10_000, at - OFFSET + bytes));
      }
    },
  };
}

const readBack = async ({ objects }: ReturnType<typeof storeOn>): Promise<number | undefined> =>
  (await objects.list()).get(PLAIN.sha256);

describe('an object that comes by chunks', () => {
  it('is gone on with where its connection broke, and tells of each byte once', async () => {
    const parts = storeOn(new TreeFiles());
    const told: number[] = [];
    const came = (bytes: number): void => void told.push(bytes);
    const broken = packWith(CONTENT, 300_000);
    expect(await codeThrown(fetchLarge(parts, broken, PLAIN, GO_ON, came))).toBe('fetch_failed');
    expect(told.reduce((sum, bytes) => sum + bytes, 0)).toBe(300_000);
    told.length = 0;
    const whole = packWith(CONTENT);
    await fetchLarge(parts, whole, PLAIN, GO_ON, came);
    expect(whole.from).toEqual([300_000]);
    expect(told[0]).toBe(300_000);
    expect(told.reduce((sum, bytes) => sum + bytes, 0)).toBe(CONTENT.length);
    expect(await readBack(parts)).toBe(CONTENT.length);
    expect(await parts.objects.partBytes(KEY)).toBe(0);
  });

  it('loses a chunk at most to a power cut', async () => {
    const files = new TreeFiles();
    const parts = storeOn(files);
    let left = files;
    const cut = packWith(CONTENT, 520_000, () => void (left = files.afterCut(() => 'none')));
    await codeThrown(fetchLarge(parts, cut, PLAIN, GO_ON, () => {}));
    const again = storeOn(left);
    const whole = packWith(CONTENT);
    await fetchLarge(again, whole, PLAIN, GO_ON, () => {});
    expect(whole.from[0]).toBeGreaterThanOrEqual(520_000 - CHUNK_BYTES);
    expect(await readBack(again)).toBe(CONTENT.length);
  });

  it.each<[string, Partial<PlannedObject>, Uint8Array, string]>([
    ['with other bytes', {}, CONTENT.map((byte, at) => (at === 9 ? byte ^ 1 : byte)), 'hash_mismatch'],
    ['that is shorter', { size: CONTENT.length + 1 }, CONTENT, 'size_mismatch'],
    ['that does not inflate', { encoding: 'zstd' }, CONTENT, 'hash_mismatch'],
    ['that inflates without an end', { encoding: 'zstd', bytes: ENDLESS.length }, ENDLESS, 'hash_mismatch'],
    ['that is a delta of nothing', { encoding: 'delta' }, CONTENT, 'bundle_malformed'],
  ])('%s is refused, and nothing of it is kept', async (_, change, sent, code) => {
    const parts = storeOn(new TreeFiles());
    const object = { ...PLAIN, ...change };
    expect(await codeThrown(fetchLarge(parts, packWith(sent), object, GO_ON, () => {}))).toBe(code);
    expect(await readBack(parts)).toBeUndefined();
    expect(await parts.objects.partBytes(KEY)).toBe(0);
  });

  it('is kept as far as it came when the disk fills, and gone on with when there is room', async () => {
    const files = new TreeFiles();
    const full = new FaultyCalls(files, null);
    const parts = storeOn(full.calls);
    const pack = packWith(CONTENT);
    const fills = (): void => {
      full.fault = { at: 0, code: 'ENOSPC', for: 'writes' };
    };
    const told: number[] = [];
    const came = (bytes: number): void => {
      told.push(bytes);
      if (told.length === 2) fills();
    };
    expect(await codeThrown(fetchLarge(parts, pack, PLAIN, GO_ON, came))).toBe('ENOSPC');
    full.fault = null;
    const again = packWith(CONTENT);
    await fetchLarge(parts, again, PLAIN, GO_ON, () => {});
    expect(again.from[0]).toBeGreaterThanOrEqual(CHUNK_BYTES);
    expect(await readBack(parts)).toBe(CONTENT.length);
  });

  it('begins anew where more is there than it has', async () => {
    const parts = storeOn(new TreeFiles());
    await parts.objects.appendPart(KEY, new Uint8Array(CONTENT.length + 1));
    const pack = packWith(CONTENT);
    await fetchLarge(parts, pack, PLAIN, GO_ON, () => {});
    expect(pack.from).toEqual([0]);
    expect(await readBack(parts)).toBe(CONTENT.length);
  });
});
