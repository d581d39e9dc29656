import { manifestOf } from '@paddock/agent/slots/whole.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { faultsOf, releaseOf, type TestRelease } from '../../../harness/agent/slots.ts';
import type { TreeFiles } from '../../../harness/agent/tree-files.ts';
import { remade, UpdateDevice, UpdateRepository } from '../../../harness/agent/update-device.ts';

const kiosk = (counter: number): TestRelease => releaseOf(counter, { 'bin/kiosk': `kiosk ${counter}`, data: 'same' });
const ONE = kiosk(1);
const BAD = remade(kiosk(2), {
  health: { withinSeconds: 1, settleSeconds: 1, sensors: true, probe: { command: ['true'], timeoutSeconds: 1 } },
});
const THREE = remade(kiosk(3), { fromCounter: 1 });
const RELEASES = [ONE, BAD, THREE];

const repository = new UpdateRepository();
for (const release of RELEASES) repository.publishRelease(release);

const devices: UpdateDevice[] = [];
afterEach(async () => {
  for (const device of devices.splice(0)) await device.stop();
});

async function started(calls?: TreeFiles): Promise<UpdateDevice> {
  const device = new UpdateDevice({ repository, ...(calls && { calls }) });
  devices.push(device);
  device.program = async () => ({ code: 1, timedOut: false, output: 'it does not work' });
  await device.start();
  return device;
}

async function onOne(): Promise<UpdateDevice> {
  const device = await started();
  await device.desire(ONE);
  await device.untilRuns(ONE);
  device.updates.cloudReached();
  await device.untilState('idle');
  return device;
}

const lose = (device: UpdateDevice, slot: Slot): void => device.calls.remove(manifestOf(slot));

/** A day of nothing. @returns what the launcher started meanwhile */
async function startsInADay(device: UpdateDevice): Promise<number> {
  const before = device.launcher.starts.length;
  const until = device.clock.monotonic() + 86_400_000;
  for (let turn = 0; turn < 400 && device.clock.monotonic() < until; turn += 1) {
    device.clock.jump(600_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return device.launcher.starts.length - before;
}

describe('a device whose disk lost the slot that was committed', () => {
  it('runs the release that was rolled back rather than none, says so, and starts it once', async () => {
    const device = await onOne();
    await device.desire(BAD);
    await device.untilState('trial');
    lose(device, 'a');
    await device.untilState('rolled-back');
    expect(device.launcher.starts.at(-1)).toBe(BAD.release.sha256);
    expect(await startsInADay(device)).toBeLessThan(2);
    expect(device.updates.reported()).toMatchObject({
      state: 'rolled-back',
      slot: 'b',
      running: BAD.release,
      committed: false,
      quarantined: [BAD.release.sha256],
      error: { code: 'update_slot_lost', detail: expect.stringContaining('update_probe_failed') as string },
    });
  });

  it.each([
    ['the release that was lost', ONE],
    ['a newer one that comes from what was lost', THREE],
  ])('gets %s into the slot that was lost, while the other one runs', async (_, next) => {
    const device = await onOne();
    await device.desire(BAD);
    await device.untilState('rolled-back');
    lose(device, 'a');
    await device.stop();
    const again = await started(device.calls);
    again.program = async () => ({ code: 0, timedOut: false, output: '' });
    await again.desire(next);
    await again.untilRuns(next);
    expect(faultsOf(again.calls, 'b', BAD.release.sha256, RELEASES)).toEqual([]);
    expect(again.updates.reported()).toMatchObject({ slot: 'a', committed: true, running: next.release });
    await again.until(() => again.launcher.status_?.sha256 === next.release.sha256);
    expect(again.updates.reported().error).toBeUndefined();
  });

  it('and has nothing in the other one, installs again what it shall run', async () => {
    const device = await onOne();
    await device.stop();
    lose(device, 'a');
    const again = await started(device.calls);
    expect(again.launcher.status_?.sha256).toBeNull();
    expect(again.updates.reported()).toMatchObject({ running: null, error: { code: 'update_slot_lost' } });
    await again.desire(ONE);
    await again.untilRuns(ONE);
    await again.until(() => again.launcher.status_?.sha256 === ONE.release.sha256);
  });
});
