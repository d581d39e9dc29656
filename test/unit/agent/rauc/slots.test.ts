import { createRaucLauncher } from '@paddock/agent/rauc/installer.ts';
import { pairOf } from '@paddock/agent/rauc/pair.ts';
import { RAUC_FILE } from '@paddock/agent/rauc/record.ts';
import type { RaucSlots } from '@paddock/agent/rauc/slots.ts';
import { InstallError } from '@paddock/agent/ports-firmware.ts';
import type { RaucSlot } from '@paddock/agent/ports-rauc.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { DEAF, FakeRaucMachine } from '../../../harness/agent/fake-rauc.ts';
import { releaseOf, type TestRelease } from '../../../harness/agent/slots.ts';

const ONE = releaseOf(1, { 'one.raucb': 'one' });
const TWO = releaseOf(2, { 'two.raucb': 'two' });
const LIMITS = { starts: 3, withinMs: 600_000 };
const signal = new AbortController().signal;
const install = (slots: RaucSlots, release: TestRelease): Promise<void> =>
  slots.install(release, release.release.version, () => {}, signal);

let machine: FakeRaucMachine;
beforeEach(() => {
  machine = new FakeRaucMachine();
});

/** Installs it, and finds it good. */
async function commit(release: TestRelease): Promise<RaucSlots> {
  const slots = machine.boot();
  await install(slots, release);
  await slots.activate(release.release.sha256, LIMITS);
  const tried = machine.boot();
  await tried.markGood(release.release.sha256);
  return tried;
}

const digestThatRuns = async (slots: RaucSlots): Promise<string | null | undefined> =>
  (await createRaucLauncher(slots, machine.rauc, DEAF).status())?.sha256;

describe('slots of RAUC', () => {
  it('are started when that is said, and not when RAUC has written one', async () => {
    machine.activatesInstalled = true;
    const slots = machine.boot();
    await install(slots, ONE);
    expect(machine.primary).toBe('a');
    await slots.activate(ONE.release.sha256, LIMITS);
    expect(machine.primary).toBe('b');
  });

  it('are not started when RAUC keeps no account of what it wrote', async () => {
    machine.keepsStatus = false;
    const slots = machine.boot();
    await expect(install(slots, ONE)).rejects.toMatchObject({ code: 'install_rauc_failed' });
    await expect(slots.activate(ONE.release.sha256, LIMITS)).rejects.toMatchObject({ code: 'install_not_staged' });
  });

  it('are marked good when a trial was', async () => {
    await commit(ONE);
    expect(machine.told).toEqual(['active b', 'good b']);
  });

  it('are known by their manifest, and none is of a slot that the agent did not write', async () => {
    expect(await machine.boot().manifest()).toBeNull();
    const slots = await commit(ONE);
    expect(Buffer.from((await slots.manifest()) ?? '')).toEqual(ONE.manifest);
  });

  it('are not believed to hold what somebody else has written over', async () => {
    await commit(ONE);
    machine.slots.b.installed += 1;
    const slots = machine.boot();
    expect(await slots.status()).toMatchObject({ running: null, lost: ONE.release.sha256 });
    expect(await digestThatRuns(slots)).toBeNull();
  });

  it('are left as the bootloader chose when it went back by itself, and the lost one is written again', async () => {
    await commit(ONE);
    await commit(TWO);
    machine.slots.a.isBad = true;
    const slots = machine.boot();
    const running = { slot: 'b', release: ONE.release, committed: false };
    expect(await slots.status()).toMatchObject({ running, lost: TWO.release.sha256 });
    // No start of the machine is asked for: it runs what is said to run.
    expect(await digestThatRuns(slots)).toBe(ONE.release.sha256);
    await commit(TWO);
    expect(await machine.boot().status()).toMatchObject({ running: { slot: 'a', release: TWO.release }, lost: null });
  });

  it('say so when the machine starts what was given up, in place of starting it again and again', async () => {
    await commit(ONE);
    const slots = machine.agent();
    await install(slots, TWO);
    await slots.activate(TWO.release.sha256, LIMITS);
    await machine.boot().rollBack();
    machine.startsAlways = machine.booted;
    expect(await machine.boot().status()).toMatchObject({ fault: { code: 'install_boot_wrong' } });
    expect(machine.slots[machine.booted].isBad).toBe(true);
    machine.startsAlways = null;
    expect(await machine.boot().status()).toMatchObject({ running: { release: ONE.release, committed: true } });
  });

  it('are marked good at each start of what is not on trial, so that no bootloader gives it up', async () => {
    await commit(ONE);
    machine.slots.b.isBad = true;
    machine.startsAlways = 'b';
    await machine.boot().status();
    expect(machine.slots.b.isBad).toBe(false);
  });

  it('are given up when a trial is not settled in its time', async () => {
    const slots = machine.boot();
    await install(slots, ONE);
    await slots.activate(ONE.release.sha256, LIMITS);
    const tried = machine.boot();
    expect(await tried.status()).toMatchObject({ trial: { starts: 1, givenUp: false }, running: { committed: false } });
    machine.uptime = LIMITS.withinMs;
    expect(await tried.status()).toMatchObject({ trial: { starts: 1, givenUp: true }, running: null });
  });

  it('can be gone back to for the sake of the cloud, and neither is to blame', async () => {
    await commit(ONE);
    const slots = await commit(TWO);
    await slots.rollBack();
    expect(await slots.status()).toMatchObject({ trial: { release: ONE.release, starts: 0 } });
    const back = machine.boot();
    expect(await back.status()).toMatchObject({ running: { release: ONE.release, committed: false } });
    await back.rollBack();
    expect(await machine.boot().status()).toMatchObject({
      running: { release: TWO.release, committed: true },
      other: ONE.release,
    });
    expect(machine.slots).toMatchObject({ a: { isBad: false }, b: { isBad: false } });
  });

  it('are written by nobody while a trial runs in one of them', async () => {
    await commit(ONE);
    const slots = machine.agent();
    await install(slots, TWO);
    await slots.activate(TWO.release.sha256, LIMITS);
    await expect(install(machine.boot(), ONE)).rejects.toMatchObject({ code: 'install_trial_running' });
  });

  it('are what they were as far as anybody knows while RAUC cannot be asked', async () => {
    await commit(ONE);
    const slots = machine.agent();
    await slots.status();
    machine.fault = new InstallError('install_rauc_away', 'gone');
    expect(await slots.status()).toMatchObject({
      running: { release: ONE.release },
      fault: { code: 'install_rauc_away' },
    });
    expect(await machine.boot().status()).toMatchObject({ running: null, fault: { code: 'install_rauc_away' } });
  });

  it('hold nothing that is known when the record of them is damaged', async () => {
    await commit(ONE);
    await machine.disk.replace(RAUC_FILE, Buffer.from('nothing of it is left'));
    expect(await machine.boot().status()).toMatchObject({ running: null, trial: null, lost: null });
  });
});

describe('a pair of slots', () => {
  const slot = (name: string, isBooted = false): RaucSlot => ({
    name,
    group: name.split('.')[0] ?? '',
    isBooted,
    isPrimary: false,
    stamp: null,
  });

  it('is of the group that runs, in the order of names', () => {
    const pair = pairOf([slot('rootfs.1', true), slot('rescue.0'), slot('rootfs.0')]);
    expect(pair).toMatchObject({ booted: 'b', slots: { a: { name: 'rootfs.0' }, b: { name: 'rootfs.1' } } });
  });

  it.each([
    ['runs from none of them', [slot('rootfs.0'), slot('rootfs.1')]],
    ['runs from the rescue system', [slot('rootfs.0'), slot('rootfs.1'), slot('rescue.0', true)]],
    ['has three of them', [slot('rootfs.0', true), slot('rootfs.1'), slot('rootfs.2')]],
  ])('is none where the machine %s', (_what, slots) => {
    expect(() => pairOf(slots)).toThrow(expect.objectContaining({ code: 'install_rauc_unfit' }));
  });
});
