import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { zstd } from '@paddock/agent/adapters/zstd.ts';
import { openInstaller } from '@paddock/agent/installer.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import { download, type DownloadOptions } from '@paddock/agent/update/download.ts';
import { CHUNK_BYTES } from '@paddock/agent/update/object-fetch.ts';
import { parseManifest } from '@paddock/shared/manifest.ts';
import { packPathOf, type PackEncoding } from '@paddock/shared/pack.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bringObjects, faultsOf, LIMITS, releaseOf, runUntil, type TestRelease } from '../../harness/agent/slots.ts';
import { PackServer } from '../../harness/agent/pack-server.ts';
import { packOf } from '../../harness/packs.ts';
import { codeThrown } from '../../harness/tuf/client.ts';
import { randomOf } from '../../harness/random.ts';

/** Text of so many bytes that zstd makes a third shorter and no more. */
function text(seed: number, bytes: number): string {
  const random = randomOf(seed);
  return Array.from({ length: bytes / 8 }, () => random().toString(36).slice(2, 10).padEnd(8, 'x')).join('');
}
/** Longer than what is whole in memory. */
const BIG = text(1, 5_000_000);
const OLD = releaseOf(1, { 'bin/kiosk': 'one', 'lib/big': BIG });
/** Their delta is longer than a chunk, and both are as near to each other as the dictionary reaches. */
const MIDDLE = text(3, 1_600_000);
const BEFORE = releaseOf(1, { 'bin/kiosk': 'one', 'lib/middle': MIDDLE });
const AFTER = releaseOf(2, { 'bin/kiosk': 'two', 'lib/middle': `${text(2, 800_000)}${MIDDLE.slice(800_000)}` });
const GO_ON = new AbortController().signal;
const BEGINNING_BYTES = 65_536;

let root: string;
let server: PackServer;
let installer: ReturnType<typeof openInstaller>;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'paddock-download-'));
  server = await PackServer.start();
  installer = openInstaller(root);
});
afterEach(async () => {
  await installer.close();
  server.close();
  rmSync(root, { recursive: true, force: true });
});

const indexOf = ({ manifest }: TestRelease): string => parseManifest(manifest).index.sha256;

function publish(to: TestRelease, from: TestRelease | null, may?: readonly PackEncoding[]): Uint8Array {
  const pack = packOf(to, from, may);
  server.files.set(packPathOf(indexOf(to), from && indexOf(from)), pack);
  return pack;
}

function fetchAll(release: TestRelease, options: Partial<DownloadOptions> = {}): Promise<Uint8Array> {
  const parts = { repository: server.repository, installer, zstd, clock: createSystemClock() };
  const manifest = parseManifest(release.manifest);
  return download(parts, manifest, { isWhole: false, progress: () => {}, ...options }, GO_ON);
}

async function expectInstalled(release: TestRelease): Promise<void> {
  await installer.stage(release, GO_ON);
  await installer.activate(release.release.sha256, LIMITS);
  const calls = createTreeCalls(root);
  expect(faultsOf(calls, 'a', release.release.sha256, [release])).toEqual([]);
}

const partsOnDisk = (): string[] => readdirSync(join(root, 'objects')).filter((name) => name.endsWith('.part'));

describe('an object that is too large for the memory', () => {
  it.each<[string, PackEncoding]>([
    ['as it is', 'plain'],
    ['compressed', 'zstd'],
  ])(
    'comes %s, by a connection that breaks and an agent that starts anew; a chunk at most comes twice',
    async (_, way) => {
      const pack = publish(OLD, null, [way]);
      server.cutAfter = 1_500_000;
      let [attempts, code]: [number, string | null] = [0, ''];
      for (; code !== null && attempts < 20; attempts += 1) {
        code = await codeThrown(fetchAll(OLD));
        expect([null, 'fetch_failed']).toContain(code);
        await installer.close();
        installer = openInstaller(root);
      }
      expect(code).toBeNull();
      expect(attempts).toBeGreaterThan(pack.length / 1_500_000 - 1);
      // Each attempt reads the beginning again; of the rest no byte comes twice but those of a chunk that was not full.
      expect(server.sentBytes).toBeLessThan(pack.length + attempts * (BEGINNING_BYTES + CHUNK_BYTES));
      // That of the index, which is needed until the release is staged.
      expect(partsOnDisk()).toHaveLength(1);
      await expectInstalled(OLD);
    },
  );

  it('loses a chunk at most of what came when the agent is killed', async () => {
    publish(OLD, null, ['plain']);
    server.cutAfter = 3_000_000;
    expect(await codeThrown(fetchAll(OLD))).toBe('fetch_failed');
    // What was written behind the last sync may be gone, or half there.
    const [largest = ''] = partsOnDisk().toSorted((a, b) => sizeOf(b) - sizeOf(a));
    expect(sizeOf(largest)).toBeGreaterThan(3_000_000 - BEGINNING_BYTES - CHUNK_BYTES);
    truncateSync(join(root, 'objects', largest), sizeOf(largest) - 100_000);
    server.cutAfter = Number.POSITIVE_INFINITY;
    server.asked.length = 0;
    await fetchAll(OLD);
    expect(server.sentBytes).toBeLessThan(5_100_000 - 3_000_000 + 2 * BEGINNING_BYTES + CHUNK_BYTES + 100_000);
    await expectInstalled(OLD);
  });

  it('comes as a delta of the one that runs', async () => {
    const calls = createTreeCalls(root);
    bringObjects(calls, BEFORE);
    runUntil(calls, BEFORE);
    await installer.objects.keepOnly(new Set());
    const { length } = publish(AFTER, BEFORE);
    expect(length).toBeLessThan(800_000);
    expect(length).toBeGreaterThan(CHUNK_BYTES + BEGINNING_BYTES);
    server.cutAfter = 300_000;
    let attempts = 1;
    for (; (await codeThrown(fetchAll(AFTER))) !== null; attempts += 1) expect(attempts).toBeLessThan(10);
    expect(attempts).toBeGreaterThan(1);
    expect(server.asked.every(({ path }) => path.includes('/from-'))).toBe(true);
    await installer.stage(AFTER, GO_ON);
    expect(faultsOf(calls, 'b', AFTER.release.sha256, [AFTER])).toEqual([]);
  });

  it('comes from a server that knows no ranges', async () => {
    publish(OLD, null);
    server.knowsRanges = false;
    await fetchAll(OLD);
    await expectInstalled(OLD);
  });

  it('is refused with other bytes, and fetched whole when the right ones are there', async () => {
    const pack = publish(OLD, null, ['plain']);
    const [path = ''] = server.files.keys();
    server.files.set(
      path,
      pack.map((byte, at) => (at === pack.length - 1_000 ? byte ^ 1 : byte)),
    );
    expect(await codeThrown(fetchAll(OLD))).toBe('hash_mismatch');
    expect((await installer.objects.list()).has(sha256Of(Buffer.from(BIG)))).toBe(false);
    server.files.set(path, pack);
    await fetchAll(OLD);
    await expectInstalled(OLD);
  });

  it('is not made of two that a server had one after the other', async () => {
    const pack = publish(OLD, null, ['plain']);
    const [path = ''] = server.files.keys();
    server.cutAfter = 2_000_000;
    expect(await codeThrown(fetchAll(OLD))).toBe('fetch_failed');
    server.cutAfter = Number.POSITIVE_INFINITY;
    server.files.set(
      path,
      pack.map((byte, at) => (at > 2_500_000 ? byte ^ 1 : byte)),
    );
    expect(await codeThrown(fetchAll(OLD))).toBe('hash_mismatch');
    server.files.set(path, pack);
    await fetchAll(OLD);
    await expectInstalled(OLD);
  });
});

const sizeOf = (name: string): number => createTreeCalls(root).look(`objects/${name}`)?.size ?? 0;

describe('a disk that is too small', () => {
  const asRoot = process.getuid?.() === 0;
  const onDiskOf = async (size: string, work: (resize: (size: string) => void) => Promise<void>): Promise<void> => {
    await installer.close();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', root]);
    installer = openInstaller(root);
    try {
      await work((size) => void execFileSync('mount', ['-o', `remount,size=${size}`, root]));
    } finally {
      await installer.close();
      execFileSync('umount', [root]);
    }
  };

  it('is found out before anything of the release is fetched', async ({ skip }) => {
    skip(!asRoot, 'Only root mounts disks: run this test as root');
    publish(OLD, null);
    await onDiskOf('12m', async (resize) => {
      expect(await codeThrown(fetchAll(OLD))).toBe('update_no_space');
      expect(server.sentBytes).toBe(BEGINNING_BYTES);
      expect([...(await installer.objects.list())]).toEqual([]);
      resize('32m');
      await fetchAll(OLD);
      await expectInstalled(OLD);
    });
  });

  it('because others filled it meanwhile, keeps what came for when there is room', async ({ skip }) => {
    skip(!asRoot, 'Only root mounts disks: run this test as root');
    publish(OLD, null, ['plain']);
    await onDiskOf('24m', async () => {
      const other = join(root, 'of-others');
      server.onAsked = () => void (server.asked.length === 1 && writeFileSync(other, Buffer.alloc(22_000_000)));
      expect(await codeThrown(fetchAll(OLD))).toBe('install_no_space');
      rmSync(other);
      server.onAsked = () => {};
      const before = server.sentBytes;
      await fetchAll(OLD);
      expect(server.sentBytes - before).toBeLessThan(5_000_000);
      await expectInstalled(OLD);
    });
  });
});

it('a release whose program is not in its index is refused before any of its contents is fetched', async () => {
  const { index } = OLD;
  for (const command of ['bin/none', 'lib/big']) {
    const broken = releaseOf(1, OLD.files, { run: { command: [command] } });
    server.files.set(packPathOf(indexOf(broken), null), packOf(broken, null));
    const before = server.sentBytes;
    expect(await codeThrown(fetchAll(broken))).toBe('manifest_command');
    expect(server.sentBytes - before).toBe(BEGINNING_BYTES);
  }
  expect(Buffer.compare(await fetchAll(OLD), index)).toBe(0);
});

it('a bandwidth limit is kept by a real transfer, but for what a second may bring at once', async () => {
  const { length } = publish(OLD, null, ['plain']);
  const bytesPerSecond = 2_500_000;
  const began = performance.now();
  await fetchAll(OLD, { bytesPerSecond });
  const seconds = (performance.now() - began) / 1_000;
  // Of that some is still on its way to us when the last of it was asked for: nothing of a busy machine makes it quicker.
  expect((length - bytesPerSecond) / seconds).toBeLessThan(bytesPerSecond);
});
