import { createRaucLauncher } from '@paddock/agent/rauc/installer.ts';
import type { RaucSlots } from '@paddock/agent/rauc/slots.ts';
import { InstallError } from '@paddock/agent/ports-firmware.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeRaucMachine } from '../../../harness/agent/fake-rauc.ts';
import { releaseOf, type TestRelease } from '../../../harness/agent/slots.ts';

const ONE = releaseOf(1, { 'one.raucb': 'one' });
const TWO = releaseOf(2, { 'two.raucb': 'two' });
const LIMITS = { starts: 3, withinMs: 600_000 };
const signal = new AbortController().signal;

let machine: FakeRaucMachine;
let heard: (string | null)[];
beforeEach(() => {
  machine = new FakeRaucMachine();
  heard = [];
});

async function arm({ release, manifest, index }: TestRelease): Promise<RaucSlots> {
  const slots = machine.boot();
  await slots.install({ release, manifest, index }, release.version, () => {}, signal);
  await slots.activate(release.sha256, LIMITS);
  return slots;
}

/** The machine is told to start again, and does as it `answers`. */
async function restart(slots: RaucSlots, answers = async () => {}): Promise<void> {
  const hear = {
    restarts: (next: { readonly version: string } | null) => void heard.push(next?.version ?? 'nothing'),
    stays: () => void heard.push('stays'),
  };
  await createRaucLauncher(slots, { reboot: answers }, hear).restart();
}

describe('a machine that is started again for an update', () => {
  it('is told to be, before it ends the agent, with what will run', async () => {
    const slots = await arm(ONE);
    await restart(slots, async () => expect(heard).toEqual([ONE.release.version]));
    expect(heard).toEqual([ONE.release.version]);
  });

  it('is told to be with what is gone back to', async () => {
    await arm(ONE);
    await machine.boot().markGood(ONE.release.sha256);
    await arm(TWO);
    const slots = machine.boot();
    await slots.rollBack();
    await restart(slots);
    expect(heard).toEqual([ONE.release.version]);
  });

  it('goes back to what was never a release of ours', async () => {
    await arm(ONE);
    const slots = machine.boot();
    await slots.rollBack();
    await restart(slots);
    expect(heard).toEqual(['nothing']);
  });

  it('is told to stay where it could not be started again', async () => {
    const fails = async (): Promise<never> => Promise.reject(new InstallError('install_reboot_failed', 'no'));
    await expect(restart(await arm(ONE), fails)).rejects.toMatchObject({ code: 'install_reboot_failed' });
    expect(heard).toEqual([ONE.release.version, 'stays']);
  });
});
