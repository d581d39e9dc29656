import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { FetchError } from '@paddock/agent/ports-firmware.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { faultsOf, releaseOf } from '../../../harness/agent/slots.ts';
import { remade, UpdateDevice, UpdateRepository, type DeviceWish } from '../../../harness/agent/update-device.ts';
import { daysLater, EPOCH } from '../../../harness/tuf/simulator.ts';

const ONE = releaseOf(1, { 'bin/kiosk': 'one', 'web/app.js': 'a'.repeat(3_000), 'web/same.js': 'same' });
const TWO = releaseOf(2, { 'bin/kiosk': 'two', 'web/app.js': `${'a'.repeat(3_000)}b`, 'web/same.js': 'same' });
/** With what hooks and probes may be. */
const EQUIPPED = releaseOf(2, { ...TWO.files, 'bin/before': 'hook', 'bin/after': 'hook', 'bin/probe': 'probe' });
const devices: UpdateDevice[] = [];
afterEach(async () => {
  for (const device of devices.splice(0)) await device.stop();
});

function repositoryWith(...releases: (typeof ONE)[]): UpdateRepository {
  const repository = new UpdateRepository();
  for (const [n, release] of releases.entries()) repository.publishRelease(release, releases.slice(0, n));
  return repository;
}

async function started(wish: DeviceWish): Promise<UpdateDevice> {
  const device = new UpdateDevice(wish);
  devices.push(device);
  await device.start();
  return device;
}

/** A device that runs the first release, and is about to get the second. */
async function onOne(wish: Partial<DeviceWish> = {}): Promise<UpdateDevice> {
  const device = await started({ repository: repositoryWith(ONE, TWO), ...wish });
  await device.desire(ONE);
  await device.untilRuns(ONE);
  device.updates.cloudReached();
  await device.untilState('idle');
  return device;
}

describe('an update', () => {
  it('goes from nothing to a release, and on to the next one by its delta', async () => {
    const device = await onOne();
    device.repository.requests.length = 0;
    const states: string[] = [];
    device.updates.watch(() => void states.push(device.updates.reported().state));
    await device.desire(TWO);
    await device.untilRuns(TWO);
    expect(states).toEqual([
      'offered',
      'waiting-for-window',
      'downloading',
      'verified',
      'staging',
      'staged',
      'waiting-for-lock',
      'armed',
      'switched',
      'trial',
      'committed',
    ]);
    expect(device.repository.requests.filter((path) => path.includes('/from-'))).toHaveLength(1);
    expect(device.repository.requests.filter((path) => path.endsWith('all.pack'))).toEqual([]);
    const reported = device.updates.reported();
    expect(reported).toMatchObject({ status: 'Installed', running: TWO.release, committed: true, target: TWO.release });
    expect(faultsOf(device.calls, reported.slot ?? 'a', TWO.release.sha256, [TWO])).toEqual([]);
  });

  it('that was switched and lost its trial is tried again after a pause, and nobody is blamed', async () => {
    const device = await onOne();
    const switchedAt: number[] = [];
    device.updates.watch(() => {
      if (device.updates.reported().state !== 'switched' || switchedAt.length > 1) return;
      switchedAt.push(device.clock.monotonic());
      // Somebody else writes what is to be run.
      if (switchedAt.length === 1) new SlotDirectory(device.calls).rollBack({ starts: 1, withinMs: 1 });
    });
    await device.desire(TWO);
    await device.until(({ error }) => error?.code === 'update_trial_lost');
    await device.untilRuns(TWO);
    const [first = 0, second = 0] = switchedAt;
    expect(second - first).toBeGreaterThan(2 * 60_000);
    expect(device.updates.reported().quarantined).toBeUndefined();
  });

  it('falls back to everything where there is no pack from what runs, and fetches only what is missing', async () => {
    const device = await onOne();
    const [from] = [...device.repository.files.keys()].filter((path) => path.includes('/from-'));
    device.repository.files.delete(from ?? '');
    await device.desire(TWO);
    await device.untilRuns(TWO);
    expect(device.repository.requests.filter((path) => path.endsWith('all.pack'))).not.toEqual([]);
  });

  it('makes nothing from a file of the slot that is damaged', async () => {
    const device = await onOne();
    const slot = device.updates.reported().slot ?? 'a';
    const file = device.calls.create(`${slot}/web/app.js`, 0o644);
    file.write(Buffer.from('b'.repeat(3_000)));
    file.close();
    const same = device.calls.create(`${slot}/web/same.js`, 0o644);
    same.write(Buffer.from('rust'));
    same.close();
    await device.desire(TWO);
    await device.untilRuns(TWO);
    expect(faultsOf(device.calls, device.updates.reported().slot ?? 'a', TWO.release.sha256, [TWO])).toEqual([]);
  });

  it('runs hooks from the new slot, before and behind the switch', async () => {
    const hooked = remade(EQUIPPED, {
      hooks: {
        before: { command: ['bin/before', '-x'], timeoutSeconds: 9 },
        after: { command: ['node', 'after.js'], timeoutSeconds: 9 },
      },
    });
    const device = await onOne({ repository: repositoryWith(ONE, hooked) });
    await device.desire(hooked);
    await device.untilRuns(hooked);
    const slot = device.updates.reported().slot ?? '';
    expect(device.ran).toEqual([`/slots/${slot}/bin/before -x`, 'node after.js']);
  });

  it('goes on from its journal when the agent starts again', async () => {
    const device = await onOne();
    device.repository.lies.set(packOfTwo(device), new FetchError('fetch_failed', 'cut'));
    await device.desire(TWO);
    await device.until(({ error }) => error !== undefined);
    await device.stop();
    device.repository.lies.clear();
    const again = await started({ repository: device.repository, calls: device.calls });
    expect(again.updates.reported()).toMatchObject({ state: 'downloading', target: TWO.release });
    await again.desire(TWO);
    await again.untilRuns(TWO);
  });

  it('does nothing until desired state is known, and forgets what is not desired any more', async () => {
    const device = await onOne();
    await device.desire(TWO, { window: { zone: 'UTC', from: '22:00', to: '23:00' } });
    await device.untilState('waiting-for-window');
    await device.desire(null);
    await device.untilState('idle');
    expect(device.updates.reported()).toMatchObject({ running: ONE.release });
    expect(device.updates.reported()).not.toHaveProperty('target');
  });
});

const packOfTwo = ({ repository }: UpdateDevice): string =>
  [...repository.files.keys()].find((path) => path.includes('/from-')) ?? '';

describe('a trial', () => {
  const probed = remade(EQUIPPED, {
    health: {
      withinSeconds: 30,
      settleSeconds: 5,
      sensors: true,
      probe: { command: ['bin/probe'], timeoutSeconds: 5 },
    },
  });

  async function expectRollback(device: UpdateDevice, release: typeof ONE, code: string): Promise<void> {
    await device.desire(release);
    await device.untilState('rolled-back');
    const { running, committed, error, quarantined } = device.updates.reported();
    expect({ running, committed }).toEqual({ running: ONE.release, committed: true });
    expect(error?.code).toBe(code);
    expect(quarantined).toEqual([release.release.sha256]);
    expect(device.launcher.starts.at(-1)).toBe(ONE.release.sha256);
  }

  it('whose probe fails ends in what ran before, and its digest is not installed again', async () => {
    const device = await onOne({ repository: repositoryWith(ONE, probed) });
    device.program = async () => ({ code: 1, timedOut: false, output: 'display is dark' });
    await expectRollback(device, probed, 'update_probe_failed');
    expect(device.updates.reported().error?.detail).toContain('display is dark');
    const starts = device.launcher.starts.length;
    await device.desire(null);
    await device.untilState('idle');
    await device.desire(probed);
    await device.untilState('failed');
    expect(device.updates.reported().error?.code).toBe('update_quarantined');
    expect(device.launcher.starts).toHaveLength(starts);
  });

  it('whose probe hangs, or that makes sensors fall silent, ends likewise', async () => {
    const hanging = await onOne({ repository: repositoryWith(ONE, probed) });
    hanging.program = async () => ({ code: null, timedOut: true, output: '' });
    await expectRollback(hanging, probed, 'update_probe_failed');
    const blind = await onOne();
    blind.updates.watch(() => {
      if (blind.updates.reported().state === 'switched') blind.goodSensors = 3;
    });
    await expectRollback(blind, TWO, 'update_sensors_bad');
  });

  it('whose program ends and is started again ends likewise', async () => {
    const device = await onOne();
    device.updates.watch(() => {
      const { status_ } = device.launcher;
      if (device.updates.reported().state === 'trial' && status_) device.launcher.status_ = { ...status_, restarts: 1 };
    });
    await expectRollback(device, TWO, 'update_process_down');
  });

  it('whose hook behind the switch fails ends likewise; one before it ends the update without a trial', async () => {
    const after = remade(EQUIPPED, { hooks: { after: { command: ['bin/after'], timeoutSeconds: 9 } } });
    const device = await onOne({ repository: repositoryWith(ONE, after) });
    device.program = async () => ({ code: 3, timedOut: false, output: '' });
    await expectRollback(device, after, 'update_hook_failed');
    const before = remade(EQUIPPED, { hooks: { before: { command: ['bin/before'], timeoutSeconds: 9 } } });
    const other = await onOne({ repository: repositoryWith(ONE, before) });
    other.program = device.program;
    await other.desire(before);
    await other.untilState('failed');
    expect(other.updates.reported()).toMatchObject({ running: ONE.release, error: { code: 'update_hook_failed' } });
    expect(other.updates.reported()).not.toHaveProperty('quarantined');
    expect(other.launcher.starts.at(-1)).toBe(ONE.release.sha256);
  });

  it('is not ended by a cloud that is away; after a day what ran before is tried once, and stays if it reaches it', async () => {
    const device = await onOne();
    device.clock.waits = () => {
      const { running, committed } = device.updates.reported();
      if (running?.sha256 !== ONE.release.sha256 || committed) return;
      device.clock.waits = () => {};
      device.updates.cloudReached();
    };
    await device.desire(TWO);
    await device.untilRuns(TWO);
    await device.untilState('rolled-back');
    expect(device.clock.monotonic()).toBeGreaterThan(24 * 3_600_000);
    expect(device.updates.reported()).toMatchObject({
      running: ONE.release,
      committed: true,
      error: { code: 'update_cloud_unreached' },
      quarantined: [TWO.release.sha256],
    });
  });

  it('of what ran before ends when that does not reach the cloud either, and is not repeated', async () => {
    const device = await onOne();
    await device.desire(TWO);
    await device.untilRuns(TWO);
    await device.until(({ running, state }) => running?.sha256 === TWO.release.sha256 && state === 'idle');
    expect(device.launcher.starts.slice(-3)).toEqual([TWO.release.sha256, ONE.release.sha256, TWO.release.sha256]);
    expect(device.updates.reported()).not.toHaveProperty('quarantined');
  });
});

describe('nobody is interrupted', () => {
  it('while somebody holds the lock, unless desired state overrides it', async () => {
    const device = await onOne();
    await device.updates.lock.take('payment', 'a customer pays', 60_000);
    await device.desire(TWO);
    await device.untilState('waiting-for-lock');
    const before = device.clock.monotonic();
    await device.untilRuns(TWO);
    // The owner died: its time had to pass.
    expect(device.clock.monotonic() - before).toBeGreaterThan(30_000);
    const other = await onOne();
    await other.updates.lock.take('payment', 'a customer pays', 4 * 3_600_000);
    const holder = await other.updates.lock.holder();
    await other.desire(TWO, { overrideLock: true });
    await other.untilRuns(TWO);
    expect(other.clock.monotonic()).toBeLessThan(holder?.until ?? 0);
  });

  it('and nobody takes the lock while what runs is being changed', async () => {
    const device = await onOne({ repository: repositoryWith(ONE, TWO) });
    const refused: Promise<unknown>[] = [];
    device.updates.watch(() => {
      if (device.updates.reported().state === 'trial')
        refused.push(device.updates.lock.take('payment', 'pays', 1_000).catch((cause: unknown) => cause));
    });
    await device.desire(TWO);
    await device.untilRuns(TWO);
    expect(await Promise.all(refused)).toMatchObject([{ code: 'lock_update_running' }]);
  });

  it('outside of the window', async () => {
    const device = await onOne();
    await device.desire(TWO, { window: { zone: 'Europe/Berlin', from: '03:00', to: '04:00' } });
    await device.untilState('waiting-for-window');
    expect(device.updates.reported()).toMatchObject({ running: ONE.release });
    device.time = { earliest: device.time.earliest + 90 * 60_000, latest: device.time.earliest + 91 * 60_000 };
    await device.untilRuns(TWO);
  });
});

describe('attacks on a device', () => {
  async function expectRefusal(device: UpdateDevice, release: typeof ONE, code: string, more = {}): Promise<void> {
    const starts = device.launcher.starts.length;
    await device.desire(release, more);
    await device.until(({ error }) => error?.code === code);
    expect(device.updates.reported()).toMatchObject({ running: ONE.release, committed: true, slot: 'a' });
    expect(faultsOf(device.calls, 'a', ONE.release.sha256, [ONE])).toEqual([]);
    expect(device.launcher.starts).toHaveLength(starts);
  }
  const DAY = 24 * 3_600_000;

  it('by a package that nobody signed, or that was withdrawn', async () => {
    await expectRefusal(await onOne({ repository: repositoryWith(ONE) }), TWO, 'tuf_target_unknown');
    const device = await onOne();
    device.repository.withdraw(TWO);
    await expectRefusal(device, TWO, 'tuf_target_unknown');
  });

  it('by a release that is withdrawn while it waits', async () => {
    const device = await onOne();
    await device.updates.lock.take('payment', 'a customer pays', 4 * 3_600_000);
    await device.desire(TWO);
    await device.untilState('waiting-for-lock');
    device.repository.withdraw(TWO);
    await device.updates.lock.release('payment');
    device.clock.jump(2 * 3_600_000);
    await expectRefusal(device, TWO, 'tuf_target_unknown');
  });

  it('by desired state that says another thing than what was signed', async () => {
    const device = await onOne();
    await expectRefusal(device, { ...TWO, release: { ...TWO.release, sha256: 'f'.repeat(64) } }, 'tuf_mismatch');
    await expectRefusal(device, { ...TWO, release: { ...TWO.release, version: '9.9.9' } }, 'update_mismatch');
    await expectRefusal(device, { ...TWO, release: { ...TWO.release, counter: 7 } }, 'tuf_target_unknown');
    await expectRefusal(device, { ...TWO, release: { ...TWO.release, name: 'other' } }, 'tuf_target_unknown');
  });

  it('by a release for other hardware, or for a device that comes from elsewhere', async () => {
    const wrong = remade(TWO, { models: ['other'] });
    await expectRefusal(await onOne({ repository: repositoryWith(ONE, wrong) }), wrong, 'update_model_wrong');
    const later = remade(TWO, { fromCounter: 2 });
    await expectRefusal(await onOne({ repository: repositoryWith(ONE, later) }), later, 'update_from_wrong');
  });

  it('by a release for another installer, of which nothing is fetched', async () => {
    const rauc = remade(releaseOf(2, { 'kiosk.raucb': 'whole' }), { installer: 'rauc' });
    await expectRefusal(await onOne({ repository: repositoryWith(ONE, rauc) }), rauc, 'update_installer_wrong');
  });

  it('by an older release, and by another one with the same counter', async () => {
    const zero = remade(releaseOf(2, { 'bin/kiosk': 'old' }), { counter: 1, version: '1.0.9' });
    const repository = repositoryWith(ONE);
    const device = await onOne({ repository });
    await expectRefusal(device, zero, 'update_counter_old');
  });

  it('by metadata that stand still', async () => {
    const device = await onOne();
    device.time = { earliest: EPOCH + 3 * DAY, latest: EPOCH + 3 * DAY };
    await expectRefusal(device, TWO, 'tuf_expired');
    device.repository.roles.timestamp.expires = daysLater(4);
    device.repository.publishTimestamp();
    await device.untilRuns(TWO);
  });

  it('by a dead clock: it waits for the first exchange, and is refused what has certainly expired', async () => {
    const device = await onOne();
    device.time = { ...device.time, latest: null };
    await device.desire(TWO);
    await device.until(() => device.clock.monotonic() > 600_000);
    expect(device.updates.reported()).toMatchObject({ state: 'offered', running: ONE.release });
    device.time = { ...device.time, latest: device.time.earliest };
    await device.untilRuns(TWO);
  });

  it('by a pack with other contents, one without an end, and one that is cut', async () => {
    const device = await onOne();
    const path = packOfTwo(device);
    const whole = device.repository.file(path);
    const spoilt = whole.map((byte, at) => (at > whole.length - 20 ? byte ^ 1 : byte));
    device.repository.files.set(path, spoilt);
    await expectRefusal(device, TWO, 'hash_mismatch');
    device.repository.files.set(path, Buffer.concat([whole, Buffer.alloc(5_000_000)]));
    await device.untilRuns(TWO);
    const cut = await onOne();
    cut.repository.files.set(packOfTwo(cut), cut.repository.file(packOfTwo(cut)).slice(0, -9));
    await expectRefusal(cut, TWO, 'bundle_truncated');
  });

  it('by a release that does not fit on the disk: not a byte of it is written', async () => {
    const device = await onOne();
    device.freeBytes = 1_000;
    await expectRefusal(device, TWO, 'update_no_space');
    expect(device.calls.list('objects').filter((name) => !name.endsWith('.part'))).toEqual([]);
    device.freeBytes = 1_000_000;
    await device.untilRuns(TWO);
  });

  it('by desired state that is none', async () => {
    const device = await onOne();
    expect(await device.updates.handler.apply({ name: 'kiosk-app' })).toEqual({ code: 'update_invalid' });
    const window = { zone: 'Mars/Olympus', from: '01:00', to: '02:00' };
    expect(await device.desire(TWO, { window })).toMatchObject({ code: 'update_zone_unknown' });
    expect(device.updates.reported()).toMatchObject({ state: 'idle', running: ONE.release });
  });
});
