import { FetchError } from '@paddock/agent/ports-firmware.ts';
import { TUF_FILES } from '@paddock/agent/tuf/store.ts';
import { describe, expect, it } from 'vitest';
import { codeThrown, TufDevice } from '../../../harness/tuf/client.ts';
import { makeKey } from '../../../harness/tuf/keys.ts';
import { daysLater, manifestBytes, sha256, signed, targetOf, utf8 } from '../../../harness/tuf/simulator.ts';

const TIMESTAMP = 'metadata/timestamp.json';

/** A device that has seen the repository once, and a release. */
async function settled() {
  const device = new TufDevice();
  const { repository } = device;
  const { sha256: digest } = repository.addRelease('charger', 1);
  repository.publish();
  const before = await device.refresh();
  /** After an attack: what was trusted is, after a restart too, and a repository that is honest again gets through. */
  const isUnharmed = async (): Promise<void> => {
    expect(await device.versions()).toEqual(before);
    device.restart();
    expect(await device.versions()).toEqual(before);
    repository.lies.clear();
    repository.publish();
    await device.refresh();
    expect((await device.manifestOf(digest)).manifest.counter).toBe(1);
  };
  return { device, repository, digest, before, isUnharmed };
}

describe('an arbitrary package', () => {
  it('is refused for whatever its metadata say', async () => {
    const { device, repository, isUnharmed } = await settled();
    const stranger = makeKey();
    for (const name of ['targets', 'snapshot', 'timestamp'] as const) {
      const path = name === 'timestamp' ? TIMESTAMP : `metadata/${repository.roles[name].version}.${name}.json`;
      const body = (JSON.parse(new TextDecoder().decode(repository.file(path))) as { signed: object }).signed;
      repository.hashes = false;
      repository.publish();
      repository.lies.set(
        name === 'timestamp' ? TIMESTAMP : `metadata/${repository.roles[name].version}.${name}.json`,
        signed({ ...body, version: repository.roles[name].version }, [stranger]),
      );
      const fresh = new TufDevice(repository);
      expect(await fresh.refusal()).toBe('tuf_signature');
      repository.lies.clear();
    }
    device.restart();
    await isUnharmed();
  }, 30_000);

  it('is refused when the target alone was exchanged', async () => {
    const { device, repository, digest, isUnharmed } = await settled();
    repository.lies.set(`targets/charger/${digest}.1.json`, manifestBytes({ version: '6.6.6' }));
    expect(await codeThrown(device.manifestOf(digest))).toMatch(/tuf_hash_mismatch|tuf_length|fetch_too_large/);
    await isUnharmed();
  });
});

describe('a rollback', () => {
  it('of the timestamp is refused', async () => {
    const { device, repository, isUnharmed } = await settled();
    repository.roles.timestamp.version -= 2;
    repository.publishTimestamp();
    expect(await device.refusal()).toBe('tuf_version_rollback');
    repository.roles.timestamp.version += 2;
    await isUnharmed();
  });

  it('of the snapshot is refused', async () => {
    const { device, repository, isUnharmed } = await settled();
    repository.roles.snapshot.version -= 2;
    repository.publishSnapshot();
    repository.publishTimestamp();
    expect(await device.refusal()).toBe('tuf_version_rollback');
    repository.roles.snapshot.version += 2;
    await isUnharmed();
  });

  it('of targets is refused', async () => {
    const { device, repository } = await settled();
    repository.roles.targets.version -= 2;
    repository.publish();
    expect(await device.refusal()).toBe('tuf_version_rollback');
    expect(await device.versions()).toMatchObject({ snapshot: 2, targets: 2 });
  });

  it('of the root is refused, and a root in the wrong place', async () => {
    const { device, repository } = await settled();
    const [one, two, three] = [
      repository.file('metadata/1.root.json'),
      repository.publishRoot(),
      repository.publishRoot(),
    ];
    repository.lies.set('metadata/2.root.json', three);
    expect(await device.refusal()).toBe('tuf_version_mismatch');
    repository.lies.set('metadata/2.root.json', two);
    repository.lies.set('metadata/3.root.json', one);
    expect(await device.refusal()).toBe('tuf_version_rollback');
    expect(await device.versions()).toMatchObject({ root: 2 });
    // 5.3.5: one that is only repeated is no attack.
    repository.lies.set('metadata/3.root.json', two);
    expect(await device.refresh()).toMatchObject({ root: 2 });
    repository.lies.clear();
    expect(await device.refresh()).toMatchObject({ root: 3 });
    device.restart();
    expect(await device.versions()).toMatchObject({ root: 3 });
  });

  it('of a snapshot that leaves out what it listed is refused', async () => {
    const { device, repository } = await settled();
    repository.delegated.push({
      name: 'partner',
      keys: [makeKey()],
      threshold: 1,
      version: 3,
      paths: ['partner/*'],
      terminating: false,
      targets: {},
      roles: [],
    });
    repository.publish();
    await device.refresh();
    repository.delegated.length = 0;
    repository.publish();
    expect(await device.refusal()).toBe('tuf_snapshot_shrunk');
  });

  it('is refused although the files of the newer metadata were lost', async () => {
    const { device, repository } = await settled();
    const [old, oldSnapshot] = [repository.file(TIMESTAMP), repository.file('metadata/2.snapshot.json')];
    repository.publish();
    await device.refresh();
    for (const file of ['timestamp', 'snapshot', 'targets'] as const) await device.disk.remove(TUF_FILES[file]);
    device.restart();
    repository.lies.set(TIMESTAMP, old);
    repository.lies.set('metadata/2.snapshot.json', oldSnapshot);
    expect(await device.refusal()).toBe('tuf_version_rollback');
  });
});

describe('a freeze', () => {
  it('ends when the timestamp expires by trusted time', async () => {
    const { device, repository, digest } = await settled();
    device.at(0.99);
    expect(await device.refusal()).toBeNull();
    device.at(1);
    expect(await device.refusal()).toBe('tuf_expired');
    expect(await codeThrown(device.manifestOf(digest))).toBe('tuf_expired');
    repository.roles.timestamp.expires = daysLater(2);
    repository.publishTimestamp();
    expect(await device.refusal()).toBeNull();
  });

  it.each([
    { name: 'snapshot', days: 7 },
    { name: 'targets', days: 90 },
    { name: 'root', days: 365 },
  ] as const)('ends when $name expires', async ({ name, days }) => {
    const { device, repository } = await settled();
    for (const role of Object.values(repository.roles)) role.expires = daysLater(1_000);
    repository.roles[name].expires = daysLater(days);
    repository.publishRoot();
    repository.publish();
    device.at(days - 0.01);
    expect(await device.refusal()).toBeNull();
    device.at(days);
    expect(await device.refusal()).toBe('tuf_expired');
    repository.roles[name].expires = daysLater(1_000);
    repository.publishRoot();
    repository.publish();
    expect(await device.refusal()).toBeNull();
  });

  it('is seen by a device that believes it is 1970 as soon as it is told the time', async () => {
    const { device, digest } = await settled();
    device.time = { earliest: 0, latest: null };
    expect(await device.refusal()).toBeNull();
    expect(await codeThrown(device.manifestOf(digest))).toBe('tuf_time_unknown');
    device.at(30);
    expect(await device.refusal()).toBe('tuf_expired');
    expect(await codeThrown(device.manifestOf(digest))).toBe('tuf_expired');
  });

  it('is nothing that a device which believes it is 2035 suffers from for longer than that', async () => {
    const { device, isUnharmed } = await settled();
    device.time = { earliest: Date.UTC(2035, 0), latest: null };
    expect(await device.refusal()).toBe('tuf_expired');
    device.at(0.5);
    await isUnharmed();
  });

  it('is not made of an intermediate root that has expired', async () => {
    const { device, repository } = await settled();
    repository.roles.root.expires = daysLater(-1);
    repository.publishRoot();
    expect(await device.refusal()).toBe('tuf_expired');
    repository.roles.root.expires = daysLater(365);
    repository.publishRoot();
    expect(await device.refresh()).toMatchObject({ root: 3 });
  });

  it('does not come of an update that takes long: its time is that of its start', async () => {
    const { device, repository } = await settled();
    device.at(0.9);
    const get = repository.get.bind(repository);
    repository.get = async (path, most, signal) => {
      device.at(5);
      return get(path, most, signal);
    };
    expect(await device.refusal()).toBeNull();
  });
});

describe('a fast-forward', () => {
  it('is recovered from when the online keys are rotated, and not before', async () => {
    const { device, repository, digest } = await settled();
    const { roles } = repository;
    for (const name of ['snapshot', 'timestamp'] as const) roles[name].version = 2 ** 31;
    repository.publishSnapshot();
    repository.publishTimestamp();
    await device.refresh();
    for (const name of ['snapshot', 'timestamp'] as const) roles[name].version = 2;
    repository.publishSnapshot();
    repository.publishTimestamp();
    expect(await device.refusal()).toBe('tuf_version_rollback');
    repository.rotate('timestamp');
    repository.rotate('snapshot');
    repository.publishSnapshot();
    repository.publishTimestamp();
    expect(await device.refresh()).toEqual({ root: 3, timestamp: 4, snapshot: 4, targets: 2 });
    device.restart();
    expect(await device.refresh()).toMatchObject({ timestamp: 4, snapshot: 4 });
    expect((await device.manifestOf(digest)).manifest.counter).toBe(1);
  });

  it('of targets is recovered from when the snapshot key is rotated', async () => {
    const { device, repository } = await settled();
    repository.roles.targets.version = 1_000_000;
    repository.publish();
    await device.refresh();
    repository.roles.targets.version = 4;
    repository.publish();
    expect(await device.refusal()).toBe('tuf_version_rollback');
    repository.rotate('snapshot');
    repository.publish();
    expect(await device.refresh()).toMatchObject({ targets: 6 });
  });

  it('is no way to replay: a key that only came takes nothing back', async () => {
    const { device, repository } = await settled();
    const old = repository.file(TIMESTAMP);
    repository.publish();
    await device.refresh();
    repository.roles.timestamp.keys.push(makeKey());
    repository.publishRoot();
    repository.lies.set(TIMESTAMP, old);
    expect(await device.refusal()).toBe('tuf_version_rollback');
    expect(await device.versions()).toMatchObject({ root: 2, timestamp: 3 });
  });
});

describe('mix and match', () => {
  it('of a snapshot that the timestamp does not name is refused', async () => {
    const { device, repository, before } = await settled();
    repository.publish();
    const other = repository.file('metadata/2.snapshot.json');
    repository.lies.set('metadata/3.snapshot.json', other);
    expect(await device.refusal()).toMatch(/tuf_hash_mismatch|tuf_length/);
    repository.hashes = false;
    repository.publish();
    repository.lies.set('metadata/4.snapshot.json', other);
    expect(await device.refusal()).toBe('tuf_version_mismatch');
    expect(await device.versions()).toMatchObject({ snapshot: before.snapshot, targets: before.targets });
  });

  it('of targets that the snapshot does not name is refused', async () => {
    const { device, repository, digest } = await settled();
    repository.hashes = false;
    repository.publish();
    repository.lies.set('metadata/3.targets.json', repository.file('metadata/2.targets.json'));
    expect(await device.refusal()).toBe('tuf_version_mismatch');
    // What is trusted is in parts of two ages: nothing is taken from it.
    expect(await codeThrown(device.manifestOf(digest))).toBe('tuf_incomplete');
  });

  it('of metadata of one role in place of another is refused', async () => {
    const { device, repository } = await settled();
    repository.lies.set(TIMESTAMP, repository.file('metadata/2.snapshot.json'));
    expect(await device.refusal()).toBe('tuf_malformed');
  });
});

describe('a server that is slow or endless', () => {
  it('is left alone, in the words of the repository', async () => {
    const { repository, isUnharmed } = await settled();
    repository.publish();
    for (const path of ['metadata/2.root.json', TIMESTAMP, 'metadata/3.snapshot.json', 'metadata/3.targets.json']) {
      const fresh = new TufDevice(repository);
      repository.lies.set(path, new FetchError('fetch_too_slow', path));
      expect(await fresh.refusal()).toBe('fetch_too_slow');
      repository.lies.set(path, new Uint8Array(6_000_000));
      expect(await fresh.refusal()).toBe('fetch_too_large');
      repository.lies.delete(path);
      expect(await fresh.refusal()).toBeNull();
    }
    await isUnharmed();
  });

  it('cannot say in metadata that more may be fetched', async () => {
    const { device, repository } = await settled();
    const meta = { 'targets.json': { version: 3, length: 6_000_000 } };
    repository.publishTargets();
    repository.roles.snapshot.version = 3;
    const body = { _type: 'snapshot', spec_version: '1.0.31', version: 3, expires: daysLater(7), meta };
    repository.hashes = false;
    repository.files.set('metadata/3.snapshot.json', signed(body, repository.roles.snapshot.keys));
    repository.publishTimestamp();
    expect(await device.refusal()).toBe('tuf_length');
  });

  it('gets no further than 256 roots a refresh', async () => {
    const { device, repository } = await settled();
    for (let n = 0; n < 260; n += 1) repository.publishRoot();
    expect(await device.refresh()).toMatchObject({ root: 257 });
    expect(await device.refresh()).toMatchObject({ root: 261 });
  }, 60_000);

  it('cannot keep the processor busy with metadata that nobody signed', async () => {
    const { device, repository } = await settled();
    const meta = Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => [`r${n}.json`, { version: 1 }]));
    const body = { _type: 'snapshot', spec_version: '1.0.31', version: 9, expires: daysLater(7), meta };
    repository.hashes = false;
    repository.publish();
    repository.lies.set(
      'metadata/3.snapshot.json',
      utf8(JSON.stringify({ signatures: [], signed: { ...body, meta: { ...meta, 'targets.json': { version: 9 } } } })),
    );
    const began = performance.now();
    expect(await device.refusal()).toBe('tuf_signature');
    // The models of the library take hours for it.
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

describe('stolen keys', () => {
  it('below the threshold sign nothing', async () => {
    const { device, repository, digest } = await settled();
    const { targets, root } = repository.roles;
    const [one] = targets.keys;
    repository.publishTargets(one ? [one] : []);
    repository.publishSnapshot();
    repository.publishTimestamp();
    expect(await device.refusal()).toBe('tuf_signature');
    repository.publishRoot(root.keys.slice(0, 1));
    expect(await device.refusal()).toBe('tuf_root_signature');
    root.version -= 1;
    repository.files.delete('metadata/2.root.json');
    repository.publish();
    await device.refresh();
    expect((await device.manifestOf(digest)).manifest.counter).toBe(1);
  });

  it('of timestamp and snapshot make no target', async () => {
    const { device, repository, digest } = await settled();
    const { timestamp, snapshot } = repository.roles;
    const evil = manifestBytes({ counter: 66 });
    repository.targets['charger/66.json'] = targetOf(evil);
    repository.putTarget('charger/66.json', evil);
    repository.publishTargets([...timestamp.keys, ...snapshot.keys]);
    repository.publishSnapshot();
    repository.publishTimestamp();
    expect(await device.refusal()).toBe('tuf_signature');
    expect(await codeThrown(device.manifestOf(sha256(evil), 66))).toBe('tuf_incomplete');
    expect(await codeThrown(device.manifestOf(digest))).toBe('tuf_incomplete');
  });

  it('bring back what was withdrawn no more once a root withdrew them', async () => {
    const { device, repository } = await settled();
    const stolen = repository.roles.timestamp.keys;
    repository.rotate('timestamp');
    repository.publish();
    await device.refresh();
    repository.publishTimestamp(stolen);
    expect(await device.refusal()).toBe('tuf_signature');
  });
});
