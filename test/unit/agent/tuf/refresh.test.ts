import { describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { codeThrown, TufDevice } from '../../../harness/tuf/client.ts';
import { TufSimulator } from '../../../harness/tuf/simulator.ts';

describe('a refresh', () => {
  it.each(['ed25519', 'ecdsa'] as const)('takes root, timestamp, snapshot and targets signed with %s', async (kind) => {
    const device = new TufDevice(new TufSimulator(kind));
    const { repository } = device;
    const { sha256, bytes } = repository.addRelease('charger', 1);
    repository.publish();
    expect(await device.versions()).toBeNull();
    expect(await device.refresh()).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 2 });
    expect(await device.versions()).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 2 });
    const found = await device.manifestOf(sha256);
    expect(found.bytes).toEqual(bytes);
    expect(found.manifest).toMatchObject({ name: 'charger', counter: 1 });
  });

  it('goes on from what is on the disk, and fetches nothing again', async () => {
    const device = new TufDevice();
    const { sha256 } = device.repository.addRelease('charger', 1);
    device.repository.publish();
    await device.refresh();
    device.restart();
    expect(await device.versions()).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 2 });
    device.repository.requests.length = 0;
    await device.refresh();
    expect(device.repository.requests).toEqual(['metadata/2.root.json', 'metadata/timestamp.json']);
    expect((await device.manifestOf(sha256)).manifest.counter).toBe(1);
  });

  it('writes nothing when there is nothing new', async () => {
    const disk = new MemoryDisk();
    const device = new TufDevice(undefined, disk);
    await device.refresh();
    const before = disk.writes.length;
    await device.refresh();
    expect(disk.writes.length).toBe(before);
  });

  it('renews timestamp and snapshot without touching targets', async () => {
    const device = new TufDevice();
    await device.refresh();
    device.repository.publishSnapshot();
    device.repository.publishTimestamp();
    device.repository.requests.length = 0;
    expect(await device.refresh()).toEqual({ root: 1, timestamp: 2, snapshot: 2, targets: 1 });
    expect(device.repository.requests).not.toContain('metadata/1.targets.json');
  });

  it('does without lengths and hashes where metadata give none', async () => {
    const device = new TufDevice();
    device.repository.hashes = false;
    device.repository.publish();
    expect(await device.refresh()).toMatchObject({ snapshot: 2, targets: 2 });
  });

  it('reads a repository without consistent snapshots', async () => {
    const repository = new TufSimulator();
    repository.consistent = false;
    const { sha256 } = repository.addRelease('charger', 1);
    repository.publishRoot();
    repository.publish();
    const device = new TufDevice(repository);
    expect(await device.refresh()).toMatchObject({ root: 2, targets: 2 });
    expect((await device.manifestOf(sha256)).manifest.counter).toBe(1);
    expect(repository.requests).toContain('metadata/snapshot.json');
  });

  it('can be asked for several things at once', async () => {
    const device = new TufDevice();
    const { sha256 } = device.repository.addRelease('charger', 1);
    device.repository.publish();
    const [, , { manifest }] = await Promise.all([device.refresh(), device.refresh(), device.manifestOf(sha256)]);
    expect(manifest.counter).toBe(1);
  });

  it('ends when it is told to', async () => {
    const tuf = await new TufDevice().tuf();
    await expect(tuf.refresh(AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
  });
});

describe('a target', () => {
  async function withRelease() {
    const device = new TufDevice();
    const { sha256, bytes } = device.repository.addRelease('charger', 1);
    device.repository.publish();
    await device.refresh();
    return { device, sha256, bytes, path: `targets/charger/${sha256}.1.json` };
  }

  it('is refused before the first refresh', async () => {
    const device = new TufDevice();
    expect(await codeThrown(device.manifestOf('0'))).toBe('tuf_incomplete');
  });

  it('that nobody signed is unknown', async () => {
    const { device, sha256 } = await withRelease();
    expect(await codeThrown(device.manifestOf(sha256, 2))).toBe('tuf_target_unknown');
    expect(await codeThrown(device.target('__proto__'))).toBe('tuf_target_unknown');
    expect(await codeThrown(device.target('toString'))).toBe('tuf_target_unknown');
  });

  it('is refused when desired state names another hash', async () => {
    const { device } = await withRelease();
    expect(await codeThrown(device.manifestOf('0'.repeat(64)))).toBe('tuf_mismatch');
  });

  it('is refused when the manifest in it names another release', async () => {
    const { device } = await withRelease();
    const name = device.repository.addRelease('charger', 2, { name: 'locker' });
    const counter = device.repository.addRelease('charger', 3, { counter: 4 });
    device.repository.publish();
    await device.refresh();
    expect(await codeThrown(device.manifestOf(name.sha256, 2))).toBe('tuf_mismatch');
    expect(await codeThrown(device.manifestOf(counter.sha256, 3))).toBe('tuf_mismatch');
  });

  it('that is no manifest is refused in the words of bundles', async () => {
    const { device } = await withRelease();
    const { sha256 } = device.repository.addRelease('charger', 2, { files: -1 });
    device.repository.publish();
    await device.refresh();
    expect(await codeThrown(device.manifestOf(sha256, 2))).toBe('manifest_invalid');
  });

  it('is refused when its file is another one, longer, shorter or not there', async () => {
    const { device, sha256, bytes, path } = await withRelease();
    const { lies } = device.repository;
    lies.set(
      path,
      bytes.map((byte, n) => (n === 9 ? byte ^ 1 : byte)),
    );
    expect(await codeThrown(device.manifestOf(sha256))).toBe('tuf_hash_mismatch');
    lies.set(path, bytes.slice(1));
    expect(await codeThrown(device.manifestOf(sha256))).toBe('tuf_length');
    lies.set(path, new Uint8Array(bytes.length + 1));
    expect(await codeThrown(device.manifestOf(sha256))).toBe('fetch_too_large');
    lies.set(path, null);
    expect(await codeThrown(device.manifestOf(sha256))).toBe('tuf_missing');
  });

  it('is refused when metadata say that it is longer than it may be', async () => {
    const { device, sha256 } = await withRelease();
    device.repository.targets['charger/1.json'] = { length: 65_537, hashes: { sha256 } };
    device.repository.publish();
    await device.refresh();
    expect(await codeThrown(device.manifestOf(sha256))).toBe('tuf_length');
  });

  it('is refused when its hash is one that nobody here knows', async () => {
    const { device, sha256, bytes } = await withRelease();
    device.repository.targets['charger/1.json'] = { length: bytes.length, hashes: { sha256, md5: '00' } };
    device.repository.publish();
    await device.refresh();
    expect(await codeThrown(device.manifestOf(sha256))).toBe('tuf_hash_mismatch');
  });

  it('waits for trusted time, unless it is told not to', async () => {
    const { device, sha256 } = await withRelease();
    device.time = { ...device.time, latest: null };
    await device.refresh();
    expect(await codeThrown(device.manifestOf(sha256))).toBe('tuf_time_unknown');
    expect((await device.manifestOf(sha256, 1, true)).manifest.counter).toBe(1);
    device.at(2);
    device.time = { ...device.time, latest: null };
    expect(await codeThrown(device.manifestOf(sha256, 1, true))).toBe('tuf_expired');
  });
});
