import { packPathOf } from '@paddock/shared/pack.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { UpdateRepository } from '../../harness/agent/update-device.ts';
import type { TestRelease } from '../../harness/agent/slots.ts';
import { harmless, HostileKiosk } from '../../harness/hostile/kiosk.ts';
import { packOf } from '../../harness/packs.ts';
import { makeKey, type RoleKey } from '../../harness/tuf/keys.ts';
import { daysLater, ROLES, targetOf, type RoleName } from '../../harness/tuf/simulator.ts';

const TIMESTAMP = 'metadata/timestamp.json';
const LIFE_DAYS = { root: 365, targets: 90, snapshot: 7, timestamp: 1 } as const satisfies Record<RoleName, number>;

let kiosk: HostileKiosk;
let repository: UpdateRepository;
beforeAll(async () => {
  kiosk = await HostileKiosk.start();
  ({ repository } = kiosk.cloud);
});
beforeEach(() => {
  for (const role of ROLES) repository.roles[role].expires = daysLater(LIFE_DAYS[role]);
});
afterAll(() => kiosk.remove());

const newest = (role: Exclude<RoleName, 'timestamp'>): string =>
  `metadata/${repository.roles[role].version}.${role}.json`;

/** The kiosk trusts the newest metadata, and installs nothing yet. */
async function seen(release: TestRelease): Promise<void> {
  expect(await kiosk.attacked(release, { version: '0.0.0' })).toEqual(harmless('update_mismatch'));
}

/** What keys sign that are at hand; the honest operator knows nothing of it afterwards. */
function forge(by: readonly RoleKey[]): TestRelease {
  const forged = kiosk.forged();
  const path = `kiosk-app/${forged.release.counter}.json`;
  const { index } = JSON.parse(Buffer.from(forged.manifest).toString()) as { index: { sha256: string } };
  repository.targets[path] = targetOf(forged.manifest);
  repository.putTarget(path, forged.manifest);
  repository.files.set(packPathOf(index.sha256, null), packOf(forged, null));
  repository.publishTargets(by);
  repository.publishSnapshot();
  repository.publishTimestamp();
  delete repository.targets[path];
  return forged;
}

/** The root that follows is somebody else's; the honest one takes its place afterwards. */
function usurp(by: (keys: readonly RoleKey[]) => readonly RoleKey[]): () => void {
  const { root, targets } = repository.roles;
  const before = [root.keys, targets.keys] as const;
  [root.keys, targets.keys] = [
    [makeKey(), makeKey()],
    [makeKey(), makeKey()],
  ];
  repository.publishRoot([...by(before[0]), ...root.keys]);
  return () => {
    [root.keys, targets.keys] = before;
    root.version -= 1;
    repository.publishRoot();
  };
}

describe('a rollback', () => {
  it('to an older timestamp is refused', async () => {
    const release = kiosk.publish();
    const older = repository.file(TIMESTAMP);
    // Of the same snapshot: nothing but its own version says that it is older.
    repository.publishTimestamp();
    await seen(release);
    repository.lies.set(TIMESTAMP, older);
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_version_rollback'));
    await kiosk.recovers(release);
  });

  it.each(['snapshot', 'targets'] as const)(
    'to older %s is refused, although the online keys are stolen',
    async (role) => {
      const release = kiosk.publish();
      await seen(release);
      const { version } = repository.roles[role];
      repository.roles[role].version -= 1;
      if (role === 'targets') repository.publishSnapshot();
      repository.publishTimestamp();
      expect(await kiosk.attacked(release)).toEqual(harmless('tuf_version_rollback'));
      repository.roles[role].version = version;
      repository.publish();
      await kiosk.recovers(release);
    },
  );
});

describe('a freeze', () => {
  it('is seen as soon as the timestamp has expired', async () => {
    repository.roles.timestamp.expires = kiosk.cloud.expiresIn(8);
    await seen(kiosk.publish());
    repository.lies.set(TIMESTAMP, repository.file(TIMESTAMP));
    repository.roles.timestamp.expires = daysLater(1);
    const withheld = kiosk.publish();
    let verdict = await kiosk.attacked(withheld);
    while (verdict.code === 'tuf_target_unknown') {
      expect(verdict).toEqual(harmless('tuf_target_unknown'));
      verdict = await kiosk.attacked(withheld);
    }
    expect(verdict).toEqual(harmless('tuf_expired'));
    await kiosk.recovers(withheld);
  });

  it('is not made longer by answers of yesterday: time is what an answer to a nonce of this start says', async () => {
    const { cloud } = kiosk;
    let old = '';
    cloud.falsify = (answer) => (old = answer);
    repository.roles.timestamp.expires = cloud.expiresIn(600);
    await seen(kiosk.publish());
    repository.lies.set(TIMESTAMP, repository.file(TIMESTAMP));
    repository.roles.timestamp.expires = daysLater(1);
    const withheld = kiosk.publish();
    expect(await kiosk.attacked(withheld)).toEqual(harmless('tuf_target_unknown'));
    await kiosk.agent.stop();
    cloud.jump();
    cloud.falsify = () => old;
    await kiosk.startAgent(Date.UTC(1970, 0, 2) - Date.now());
    await kiosk.until('no time', () => kiosk.reported?.error?.code === 'tuf_time_unknown');
    cloud.falsify = (answer) => answer;
    cloud.broker.cut();
    await kiosk.until('the right time', async () => {
      await cloud.desire(withheld.release);
      await kiosk.reports(1);
      return kiosk.reported?.error?.code === 'tuf_expired';
    });
    expect(kiosk.faults()).toEqual([]);
    await kiosk.recovers(withheld);
  });
});

describe('a fast-forward', () => {
  it('of timestamp and snapshot ends when a root takes the stolen keys away, and not before', async () => {
    const { timestamp, snapshot } = repository.roles;
    const honest = [timestamp.version, snapshot.version] as const;
    snapshot.version = timestamp.version = Number.MAX_SAFE_INTEGER - 1;
    repository.publishSnapshot();
    repository.publishTimestamp();
    expect((await kiosk.attacked(kiosk.forged())).code).toBe('tuf_target_unknown');
    const stolen = repository.file(TIMESTAMP);
    [timestamp.version, snapshot.version] = honest;
    const release = kiosk.publish();
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_version_rollback'));
    repository.rotate('timestamp');
    repository.rotate('snapshot');
    repository.publish();
    repository.lies.set(TIMESTAMP, stolen);
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_signature'));
    await kiosk.recovers(release);
    expect(kiosk.reported?.metadata?.timestamp).toBe(timestamp.version);
  });

  it('of targets, which nobody signed, ends likewise', async () => {
    const { targets } = repository.roles;
    const honest = targets.version;
    targets.version = Number.MAX_SAFE_INTEGER;
    repository.publishSnapshot();
    repository.publishTimestamp();
    targets.version = honest;
    expect(await kiosk.attacked(kiosk.forged())).toEqual(harmless('tuf_missing'));
    const release = kiosk.publish();
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_version_rollback'));
    repository.rotate('snapshot');
    repository.publish();
    await kiosk.recovers(release);
  });
});

describe('metadata of different times together', () => {
  it.each(['snapshot', 'targets'] as const)('are refused: older %s, whose hash nobody names', async (role) => {
    repository.hashes = false;
    const older = repository.file(newest(role));
    const release = kiosk.publish();
    repository.lies.set(newest(role), older);
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_version_mismatch'));
    repository.hashes = true;
    await kiosk.recovers(release);
  });

  it('are refused: one role in place of another', async () => {
    const release = kiosk.publish();
    repository.lies.set(TIMESTAMP, repository.file(newest('snapshot')));
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_malformed'));
    await kiosk.recovers(release);
  });
});

describe('stolen keys install nothing', () => {
  it('when it is one of two of targets', async () => {
    const { targets, snapshot, timestamp } = repository.roles;
    const forged = forge([...targets.keys.slice(0, 1), ...snapshot.keys, ...timestamp.keys, makeKey()]);
    expect(await kiosk.attacked(forged)).toEqual(harmless('tuf_signature'));
    await kiosk.recovers(kiosk.publish());
  });

  it('when it is both online keys', async () => {
    const { snapshot, timestamp } = repository.roles;
    const forged = forge([...snapshot.keys, ...timestamp.keys]);
    expect(await kiosk.attacked(forged)).toEqual(harmless('tuf_signature'));
    await kiosk.recovers(kiosk.publish());
  });

  it.each([
    ['one of two of the root', 1],
    ['none of the root, but a root that signs itself', 0],
  ])('when it is %s', async (_, count) => {
    const honest = usurp((keys) => keys.slice(0, count));
    const forged = forge(repository.roles.targets.keys);
    expect(await kiosk.attacked(forged)).toEqual(harmless('tuf_root_signature'));
    honest();
    await kiosk.recovers(kiosk.publish());
  });
});

describe('the walk over roots', () => {
  it('takes a kiosk that slept through four new roots to the newest', async () => {
    const before = kiosk.reported?.metadata?.root ?? 0;
    await kiosk.agent.stop();
    for (const role of ROLES) repository.rotate(role);
    const release = kiosk.publish();
    await kiosk.startAgent();
    await kiosk.install(release);
    expect(kiosk.reported?.metadata?.root).toBe(before + 4);
    expect(kiosk.faults()).toEqual([]);
  });

  it('gets over no gap, and on when it is closed', async () => {
    repository.rotate('targets');
    const missing = newest('root');
    repository.rotate('timestamp');
    const release = kiosk.publish();
    repository.lies.set(missing, null);
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_signature'));
    repository.lies.set(missing, repository.file(newest('root')));
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_version_mismatch'));
    await kiosk.recovers(release);
  });
});

describe('a kiosk whose clock is wrong', () => {
  it.each([
    ['1970', Date.UTC(1970, 0, 2)],
    ['2035', Date.UTC(2035, 0, 1)],
  ])('in %s takes nothing that has expired, and what is good when there is something', async (_, wall) => {
    const { cloud } = kiosk;
    for (const role of ROLES) repository.roles[role].expires = cloud.expiresIn(600);
    repository.publishRoot();
    const release = kiosk.publish();
    await seen(release);
    await kiosk.agent.stop();
    cloud.jump();
    await kiosk.startAgent(wall - Date.now());
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_expired'));
    for (const role of ROLES) repository.roles[role].expires = daysLater(LIFE_DAYS[role]);
    repository.publishRoot();
    repository.publish();
    await kiosk.recovers(release);
  });
});
