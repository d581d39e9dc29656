import { openDisk } from '@paddock/agent/adapters/disk.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import { readStore, TUF_FILES } from '@paddock/agent/tuf/store.ts';
import { describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { afterPowerCut, RecordingFiles, type Safeguard } from '../../../harness/agent/power-cut.ts';
import { TufDevice } from '../../../harness/tuf/client.ts';
import { sha256, TufSimulator, utf8 } from '../../../harness/tuf/simulator.ts';

const FILES = Object.values(TUF_FILES);
const DAMAGE: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  emptied: () => new Uint8Array(),
  'cut in half': (bytes) => bytes.slice(0, bytes.length / 2),
  'full of zeros': (bytes) => new Uint8Array(bytes.length),
  // In what was signed: of the signatures before it one more may be there than it takes.
  'wrong in one place': (bytes) => bytes.map((byte, n) => (n === Math.floor(bytes.length * 0.8) ? byte ^ 1 : byte)),
  'larger than memory has room for': () => new Uint8Array(8_000_000),
};

/** A device that has walked to its third root, with what was published at each step. */
async function walked() {
  const repository = new TufSimulator();
  const device = new TufDevice(repository);
  await device.refresh();
  const old = new Map(repository.files);
  repository.rotate('root');
  repository.publishRoot();
  const { sha256: digest } = repository.addRelease('charger', 1);
  repository.publish();
  const versions = await device.refresh();
  return { repository, device, old, digest, versions };
}

describe.each(FILES)('%s', (file) => {
  it.each(Object.keys(DAMAGE))('that is %s costs a download, and no trust', async (way) => {
    const { device, old, digest, versions, repository } = await walked();
    const bytes = await device.disk.read(file);
    await device.disk.replace(file, DAMAGE[way]?.(bytes ?? expect.fail('never written')) ?? utf8(''));
    device.restart();
    await device.tuf();
    expect(device.said.flatMap(({ code, file: said }) => (code === 'tuf_file_damaged' ? [said] : []))).toEqual([file]);
    // Whoever has only what was published before gets nowhere.
    for (const path of ['metadata/timestamp.json', 'metadata/1.snapshot.json', 'metadata/1.targets.json'])
      repository.lies.set(path, old.get(path) ?? null);
    expect(await device.refusal()).toBe('tuf_version_rollback');
    repository.lies.clear();
    expect(await device.refresh()).toEqual(versions);
    expect((await device.manifestOf(digest)).manifest.counter).toBe(1);
    device.restart();
    expect(await device.refresh()).toEqual(versions);
  });
});

describe('a store', () => {
  it('whose copies of the newest root are both damaged begins again with the first, and not below the newest', async () => {
    const { device, repository, versions } = await walked();
    for (const file of [TUF_FILES.root, TUF_FILES.rootCopy]) await device.disk.replace(file, utf8('{'));
    device.restart();
    expect(await device.versions()).toMatchObject({ root: 1 });
    repository.lies.set('metadata/3.root.json', null);
    expect(await device.refusal()).toBe('tuf_version_rollback');
    repository.lies.clear();
    expect(await device.refresh()).toEqual(versions);
  });

  it('of which nothing is left begins like a new one', async () => {
    const { device, versions } = await walked();
    for (const file of FILES) await device.disk.replace(file, utf8('?'));
    device.restart();
    expect(await device.versions()).toBeNull();
    expect(await device.refresh()).toEqual(versions);
  });

  it('keeps what came before a disk that is full, and says that it is', async () => {
    const disk = new MemoryDisk();
    const device = new TufDevice(new TufSimulator(), disk);
    await device.refresh();
    device.repository.publish();
    disk.failNext(1, 0, TUF_FILES.snapshot);
    expect(await device.refusal()).toBe('ENOSPC');
    device.restart();
    expect(await device.versions()).toEqual({ root: 1, timestamp: 2, snapshot: 1, targets: 1 });
    expect(await device.refresh()).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 2 });
  });
});

/** What holds for certain after so many changes of the file system. */
interface Promised {
  readonly after: number;
  readonly root: number;
  readonly timestamp: number;
  readonly targets: number;
}
/** From this root on the online keys are new, and versions count anew. */
const ROTATED = 4;

/** All that a client ever does to its disk: pins, walks, renews, forgets after a rotation. */
async function liveOn(files: RecordingFiles) {
  const device = new TufDevice(new TufSimulator(), await openDisk('/data', files));
  const { repository } = device;
  const promised: Promised[] = [];
  const refresh = async (): Promise<void> => {
    const { root, timestamp = 0, targets = 0 } = await device.refresh();
    promised.push({ after: files.changes.length, root, timestamp, targets });
  };
  await refresh();
  repository.publish();
  await refresh();
  repository.rotate('root');
  repository.publishRoot();
  repository.publish();
  await refresh();
  // A fast-forward, and the recovery from it: what is left of it anywhere would keep the newest away.
  repository.roles.timestamp.version = 1_000;
  repository.roles.targets.version = 1_000;
  repository.publish();
  await refresh();
  repository.roles.timestamp.version = 1;
  repository.roles.targets.version = 10;
  repository.rotate('timestamp');
  repository.publish();
  await refresh();
  repository.publish();
  await refresh();
  return { repository, promised };
}

/** @returns every state after a power cut that breaks a promise; the first ones are enough */
async function findBroken(omitted: Safeguard | null, most = 3): Promise<string[]> {
  const files = new RecordingFiles(omitted);
  const { repository, promised } = await liveOn(files);
  const broken: string[] = [];
  const seen = new Set<string>();
  for (let count = 0; count <= files.changes.length; count += 1) {
    const sure = promised.findLast(({ after }) => after <= count);
    for (const left of afterPowerCut(files.changes, count)) {
      const state = JSON.stringify(
        [...left].map(([path, bytes]) => [path, sha256(bytes)]).concat([[`${sure?.after}`]]),
      );
      if (seen.has(state)) continue;
      seen.add(state);
      for (const finding of await judge(left, sure, repository)) broken.push(`cut ${count}: ${finding}`);
      if (broken.length >= most) return broken;
    }
  }
  return broken;
}

async function judge(
  left: ReadonlyMap<string, Uint8Array>,
  sure: Promised | undefined,
  repository: TufSimulator,
): Promise<string[]> {
  const disk: Disk = new MemoryDisk();
  for (const [path, bytes] of left) if (!path.endsWith('.tmp')) await disk.replace(path.replace('/data/', ''), bytes);
  const { set, damaged } = await readStore(disk);
  const findings = damaged
    // Its keys are gone, and it is about to be removed.
    .filter((file) => file !== TUF_FILES.timestamp || (set?.root.signed.version ?? 0) < ROTATED)
    .map((file) => `${file} is damaged`);
  if (sure && (set?.root.signed.version ?? 0) < sure.root) findings.push('the root went back');
  const isSameEra = sure && set && sure.root < ROTATED === set.root.signed.version < ROTATED;
  if (isSameEra && set.floor.timestamp < sure.timestamp) findings.push('the timestamp went back');
  if (isSameEra && (set.floor.targets['targets.json'] ?? 0) < sure.targets) findings.push('targets went back');
  // And wherever it was cut, it gets to the newest.
  const device = new TufDevice(repository, disk);
  const { root, timestamp, snapshot, targets } = repository.roles;
  const newest = [root.version, timestamp.version, snapshot.version, targets.version];
  const found = await device.refresh().then(Object.values, (cause: unknown) => [cause]);
  if (String(found) !== String(newest)) findings.push(`it gets to ${String(found)} in place of ${String(newest)}`);
  return findings;
}

describe('a power cut at any call of the file system', () => {
  it('takes back nothing, and leaves a client that goes on', async () => {
    expect(await findBroken(null)).toEqual([]);
  }, 120_000);

  it.each(['sync of what replaces', 'rename over the old file', 'sync of the name that was replaced'] as const)(
    'shows when there is no %s',
    async (safeguard) => {
      expect(await findBroken(safeguard, 1)).not.toEqual([]);
    },
    120_000,
  );
});
