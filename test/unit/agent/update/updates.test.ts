import { afterEach, describe, expect, it } from 'vitest';
import { faultsOf, releaseOf } from '../../../harness/agent/slots.ts';
import { UpdateDevice, UpdateRepository, type DeviceWish } from '../../../harness/agent/update-device.ts';

const ONE = releaseOf(1, { 'bin/kiosk': 'one', 'web/app.js': 'a'.repeat(3_000), 'web/same.js': 'same' });
const TWO = releaseOf(2, { 'bin/kiosk': 'two', 'web/app.js': `${'a'.repeat(3_000)}b`, 'web/same.js': 'same' });
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
});
