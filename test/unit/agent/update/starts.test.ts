import { createUpdateSensors } from '@paddock/agent/updating.ts';
import { JOURNAL_FILE, writeJournal, NO_JOURNAL } from '@paddock/agent/update/journal.ts';
import type { Reading } from '@paddock/shared/report.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { releaseOf } from '../../../harness/agent/slots.ts';
import { remade, UpdateDevice, UpdateRepository, type DeviceWish } from '../../../harness/agent/update-device.ts';

const ONE = releaseOf(1, { 'bin/kiosk': 'one' });
const TWO = releaseOf(2, { 'bin/kiosk': 'two' });
const devices: UpdateDevice[] = [];
afterEach(async () => {
  for (const device of devices.splice(0)) await device.stop();
});

async function started(wish: DeviceWish): Promise<UpdateDevice> {
  const device = new UpdateDevice(wish);
  devices.push(device);
  await device.start();
  return device;
}

async function onOne(two = TWO): Promise<UpdateDevice> {
  const repository = new UpdateRepository();
  repository.publishRelease(ONE);
  repository.publishRelease(two, [ONE]);
  const device = await started({ repository });
  await device.desire(ONE);
  await device.untilRuns(ONE);
  device.updates.cloudReached();
  await device.untilState('idle');
  return device;
}

describe('an agent that starts', () => {
  it('tries once more what an agent of another model could not install', async () => {
    const other = remade(TWO, { models: ['other'] });
    const device = await onOne(other);
    await device.desire(other);
    await device.untilState('failed');
    await device.stop();
    const { repository, calls } = device;
    const again = await started({ repository, calls, model: 'other' });
    await again.desire(other);
    await again.untilRuns(other);
    expect(again.updates.reported()).not.toHaveProperty('error');
  });

  it('keeps floors and quarantine of a journal that it does not understand, and says so', async () => {
    const device = await onOne();
    await device.stop();
    const quarantined = [{ sha256: TWO.release.sha256, code: 'update_probe_failed' }];
    const newer: object = { v: 2 };
    await writeJournal(device.disk, { ...NO_JOURNAL, quarantined, ...newer });
    const again = await started({ repository: device.repository, calls: device.calls });
    expect(again.said).toContainEqual({ code: 'update_journal_foreign' });
    await again.desire(TWO);
    await again.until(({ error }) => error?.code === 'update_quarantined');
    expect(again.updates.reported().running).toEqual(ONE.release);
  });

  it('goes by its slots when its journal is damaged, and gets to the release', async () => {
    const device = await onOne();
    await device.stop();
    await device.disk.replace(JOURNAL_FILE, Buffer.from('nothing of it is left'));
    const again = await started({ repository: device.repository, calls: device.calls });
    expect(again.said).toContainEqual({ code: 'update_journal_damaged' });
    expect(again.updates.reported()).toMatchObject({ state: 'idle', running: ONE.release, committed: true });
    await again.desire(TWO);
    await again.untilRuns(TWO);
  });
});

describe('a device of which something is desired that it cannot read', () => {
  it('installs nothing of what was desired before', async () => {
    const device = await onOne();
    await device.desire(TWO, { window: { zone: 'UTC', from: '22:00', to: '23:00' } });
    await device.untilState('waiting-for-window');
    expect(await device.desire(TWO, { repository: 'https://[::/' })).toEqual({ code: 'update_invalid' });
    await device.untilState('idle');
    expect(device.updates.reported()).not.toHaveProperty('target');
    expect(await device.desire(TWO)).toBeNull();
    await device.untilRuns(TWO);
  });
});

describe('a window that closes', () => {
  it('breaks a download off', async () => {
    const device = await onOne();
    const { repository } = device;
    const hour = 3_600_000;
    repository.part = async function* (_path, _from, _bytes, signal) {
      device.time = { earliest: device.time.earliest + hour, latest: device.time.earliest + hour };
      await new Promise((resolve) => signal?.addEventListener('abort', resolve, { once: true }));
      signal?.throwIfAborted();
      yield new Uint8Array();
    };
    const open = new Date(device.time.earliest).toISOString().slice(11, 16);
    const close = new Date(device.time.earliest + hour / 2).toISOString().slice(11, 16);
    const states: string[] = [];
    device.updates.watch(() => void states.push(device.updates.reported().state));
    await device.desire(TWO, { window: { zone: 'UTC', from: open, to: close } });
    await device.until(() => states.join().endsWith('downloading,waiting-for-window'));
    expect(device.updates.reported()).toMatchObject({ running: ONE.release, status: 'DownloadScheduled' });
  });
});

describe('sensors', () => {
  it('have their time to tell something before they are counted, and before they are missed', async () => {
    const device = await onOne(remade(TWO, { health: { withinSeconds: 1, settleSeconds: 1, sensors: true } }));
    const waits: string[] = [];
    device.goodSensors = 0;
    device.sensorsSettle = async () => {
      waits.push(device.updates.reported().state);
      device.goodSensors = waits.length === 1 ? 4 : 3;
    };
    const two = remade(TWO, { health: { withinSeconds: 1, settleSeconds: 1, sensors: true } });
    await device.desire(two);
    await device.untilState('rolled-back');
    expect(waits).toEqual(['waiting-for-lock', 'trial']);
    expect(device.updates.reported().error).toMatchObject({ code: 'update_sensors_bad', detail: '3 of 4' });
  });

  it('are counted when each has told something, or when its time is over', async () => {
    const clock = new FakeClock();
    const unread: Reading = { value: null, ageMs: null, quality: 'bad', reason: 'no-sample' };
    const read: Reading = { value: 1, ageMs: 0 };
    const readings: Record<string, Reading> = { door: read, card: unread };
    const sensors = createUpdateSensors(clock, () => readings);
    const { signal } = new AbortController();
    const told: number[] = [];
    const settled = sensors.settled(signal).then((count) => told.push(count));
    expect(sensors.good()).toBe(1);
    await clock.advance(5_000);
    expect(told).toEqual([]);
    readings['card'] = read;
    await clock.advance(1_000);
    await settled;
    expect(told).toEqual([2]);
    readings['card'] = unread;
    const silent = sensors.settled(signal).then((count) => told.push(count));
    await clock.advance(60_000);
    await silent;
    expect(told).toEqual([2, 1]);
    // Its time is counted from the start of the agent.
    expect(await sensors.settled(signal)).toBe(1);
  });
});
