import { TUF_FILES } from '@paddock/agent/tuf/store.ts';
import { describe, expect, it } from 'vitest';
import { TufDevice } from '../../../harness/tuf/client.ts';
import { disguised, makeKey, renamed, type RoleKey } from '../../../harness/tuf/keys.ts';
import { sha256, TufSimulator, utf8 } from '../../../harness/tuf/simulator.ts';

describe('a walk over roots', () => {
  it('follows new keys and changed thresholds over several versions', async () => {
    const device = new TufDevice();
    await device.refresh();
    const { repository } = device;
    const { root } = repository.roles;
    const [a, b, c] = root.keys;
    const all: RoleKey[] = [...root.keys];
    for (const threshold of [3, 1, 2]) {
      root.threshold = threshold;
      const fresh = makeKey('ecdsa');
      root.keys = [...root.keys.slice(1), fresh];
      all.push(fresh);
      repository.publishRoot(all);
    }
    expect(root.keys).not.toContain(a);
    expect(await device.refresh()).toMatchObject({ root: 4 });
    // A device that was away for all of it comes to the same.
    const late = new TufDevice(repository);
    expect(await late.refresh()).toMatchObject({ root: 4 });
    // And the keys of the beginning are worth nothing now.
    repository.publishRoot([a, b, c].filter((key) => key !== undefined));
    expect(await device.refusal()).toBe('tuf_root_signature');
  });

  it.each(['old', 'new'] as const)('refuses a root that only its %s keys signed', async (which) => {
    const device = new TufDevice();
    await device.refresh();
    const { root } = device.repository.roles;
    const keys = { old: root.keys, new: root.keys.map(() => makeKey()) };
    root.keys = keys.new;
    device.repository.publishRoot(keys[which]);
    expect(await device.refusal()).toBe('tuf_root_signature');
    root.version -= 1;
    device.repository.publishRoot([...keys.old, ...keys.new]);
    expect(await device.refresh()).toMatchObject({ root: 2 });
  });

  it('refuses a root that does not reach the higher threshold of its own', async () => {
    const device = new TufDevice();
    await device.refresh();
    const { root } = device.repository.roles;
    root.threshold = 3;
    device.repository.publishRoot(root.keys.slice(0, 2));
    expect(await device.refusal()).toBe('tuf_root_signature');
  });
});

describe('a threshold', () => {
  it('counts a public key once, under however many ids', async () => {
    const device = new TufDevice();
    await device.refresh();
    const { repository } = device;
    const [key = makeKey()] = repository.roles.targets.keys;
    const twin = disguised(key);
    expect(twin.id).not.toBe(key.id);
    repository.roles.targets.keys = [key, twin];
    repository.publishRoot();
    repository.publish();
    expect(await device.refusal()).toBe('tuf_signature');
  });

  it('counts no key whose id is not its hash', async () => {
    const device = new TufDevice();
    const { targets } = device.repository.roles;
    targets.keys = targets.keys.map((key, n) => renamed(key, `key-${n}`));
    device.repository.publishRoot();
    device.repository.publish();
    expect(await device.refusal()).toBe('tuf_signature');
  });

  it('does not mind a key that nobody here knows, as long as the others reach it', async () => {
    const device = new TufDevice();
    const { targets } = device.repository.roles;
    const strange = makeKey();
    targets.keys.push({ ...strange, shown: { ...strange.shown, scheme: 'falcon-512' }, sign: () => 'zz' });
    device.repository.publishRoot();
    device.repository.publish();
    expect(await device.refresh()).toMatchObject({ root: 2, targets: 2 });
  });
});

describe('the first root', () => {
  it('has the hash that the list of keys names, or is none', async () => {
    const device = new TufDevice();
    device.firstRoot = { version: 1, sha256: '0'.repeat(64) };
    expect(await device.refusal()).toBe('tuf_root_hash');
    expect(await device.versions()).toBeNull();
    device.firstRoot = { version: 7, sha256: '0'.repeat(64) };
    expect(await device.refusal()).toBe('tuf_root_missing');
    device.firstRoot = null;
    expect(await device.refusal()).toBe('tuf_root_missing');
    device.firstRoot = device.repository.firstRoot;
    expect(await device.refresh()).toMatchObject({ root: 1 });
  });

  it('can be a file of the factory', async () => {
    const device = new TufDevice();
    device.firstRoot = { bytes: device.repository.file('metadata/1.root.json') };
    expect(await device.refresh()).toMatchObject({ root: 1 });
    device.restart();
    device.firstRoot = { bytes: utf8('{}') };
    expect(await device.refresh()).toMatchObject({ root: 1 });
  });

  it('has to be whole', async () => {
    const device = new TufDevice();
    device.firstRoot = { bytes: device.repository.publishRoot(device.repository.roles.root.keys.slice(1, 2)) };
    expect(await device.refusal()).toBe('tuf_root_signature');
  });

  it('stays: no later list replaces it', async () => {
    const device = new TufDevice();
    await device.refresh();
    const other = new TufSimulator();
    device.restart();
    device.firstRoot = other.firstRoot;
    expect(await device.refresh()).toMatchObject({ root: 1 });
    expect(device.said).toContainEqual({ code: 'tuf_root_pinned', pinned: device.repository.firstRoot.sha256 });
  });

  it('stays although every copy of a root was damaged', async () => {
    const device = new TufDevice();
    await device.refresh();
    const other = new TufSimulator();
    for (const file of [TUF_FILES.firstRoot, TUF_FILES.root, TUF_FILES.rootCopy])
      await device.disk.replace(file, utf8('{'));
    device.restart();
    device.firstRoot = { bytes: other.file('metadata/1.root.json') };
    expect(await device.refusal()).toBe('tuf_root_pinned');
    device.firstRoot = device.repository.firstRoot;
    expect(await device.refresh()).toMatchObject({ root: 1 });
    expect(sha256((await device.disk.read(TUF_FILES.firstRoot)) ?? utf8(''))).toBe(device.firstRoot.sha256);
  });
});
