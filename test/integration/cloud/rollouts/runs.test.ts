import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { encodeCursor } from '@paddock/cloud/devices/cursor.ts';
import { setDesired } from '@paddock/cloud/desired/change.ts';
import { listFirmwareChanges, readFirmware } from '@paddock/cloud/rollouts/device-firmware.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { addReleases, Operator, releaseOf, UpdatingDevice } from '../../../harness/updating.ts';

const [OLD, NEW, BAD] = [releaseOf(1), releaseOf(2), releaseOf(3)];

let database: FreshDatabase;
let cloud: TestIngest;
let operator: Operator;
let devices: UpdatingDevice[];
let count = 0;

/** Devices of one test, in the order in which they get their turn. */
async function join(many: number): Promise<UpdatingDevice[]> {
  const joined = [];
  for (let at = 0; at < many; at += 1) {
    count += 1;
    joined.push(await UpdatingDevice.join(database.store, cloud, `kiosk-${String(count).padStart(3, '0')}`));
  }
  devices.push(...joined);
  return joined;
}
const idsOf = (some: readonly UpdatingDevice[]): string[] => some.map(({ device }) => device.deviceId);
const statesOf = async (id: number): Promise<string[]> => Object.values(await operator.states(id));

beforeAll(async () => {
  database = await freshDatabase();
  cloud = await startIngest(database.store, { epoch: 0 });
  await addReleases(database.store, [OLD, NEW, BAD]);
});
afterAll(async () => {
  await cloud.close();
  await database.drop();
});
beforeEach(() => {
  operator = new Operator(database.store);
  devices = [];
});
afterEach(() => Promise.all(devices.map((one) => one.close())));

describe('a device that was updated', () => {
  it('is updated no more when it goes back by itself, and is again when it comes to the release again', async () => {
    const [one, other] = await join(2);
    if (one === undefined || other === undefined) return;
    const id = await operator.assign(NEW, { targets: { devices: idsOf([one, other]) } });
    await operator.turn();
    await Promise.all([one.update(NEW), other.update(NEW)]);
    await operator.turn();
    await operator.turn();
    expect([await statesOf(id), (await operator.view(id)).state]).toEqual([['updated', 'updated'], 'completed']);
    one.running = OLD;
    await one.report('trial', { running: OLD, committed: false, slot: 'a' });
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updated', 'updated']);
    const error = { code: 'update_cloud_unreached' };
    await one.report('rolled-back', { target: NEW, error, quarantined: [NEW.sha256] });
    await operator.turn();
    expect([await statesOf(id), (await operator.view(id)).totals]).toEqual([
      ['failed update_cloud_unreached', 'updated'],
      expect.objectContaining({ failed: 1, updated: 1 }),
    ]);
    // Each is looked at once: else some hundreds would keep all others from their turn.
    expect(await database.store.query('SELECT device_id FROM device_firmware WHERE NOT judged')).toEqual([]);
    const told = await database.store.query("SELECT data FROM notifications WHERE type = 'assignment.left'");
    expect(told).toMatchObject([{ data: { assignmentId: id, deviceId: one.device.deviceId, ...error } }]);
    one.running = NEW;
    await one.report('committed', { slot: 'b' });
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updated', 'updated']);
  });

  it('counts as a failure of an assignment that goes on, which halts', async () => {
    const all = await join(2);
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) }, cap: 1, haltAfter: 1 });
    await operator.turn();
    await all[0]?.update(NEW);
    await operator.turn();
    if (all[0]) all[0].running = OLD;
    await all[0]?.report('idle');
    await operator.turn();
    expect([await statesOf(id), await operator.view(id)]).toMatchObject([
      ['failed release_left', 'waiting'],
      { state: 'halted', detail: expect.stringContaining('release_left') },
    ]);
  });

  it('stays that when somebody wanted it to run something else', async () => {
    const [one] = await join(1);
    if (one === undefined) return;
    const id = await operator.assign(OLD, { targets: { devices: idsOf([one]) } });
    await operator.turn();
    const later = await operator.assign(NEW, { targets: { devices: idsOf([one]) } });
    await operator.turn();
    await one.update(NEW);
    await operator.turn();
    expect([await statesOf(id), await statesOf(later)]).toEqual([['updated'], ['updated']]);
    // By itself it has left the later one, which is the one that counts.
    one.running = OLD;
    await one.report('idle');
    await operator.turn();
    expect([await statesOf(id), await statesOf(later)]).toEqual([['updated'], ['failed release_left']]);
    one.running = NEW;
    await one.report('idle');
    await operator.turn();
    expect([await statesOf(id), await statesOf(later)]).toEqual([['updated'], ['updated']]);
    await database.store.transaction((sql) => setDesired(sql, 'test', one.device.deviceId, 'firmware', OLD));
    one.running = OLD;
    await one.report('idle');
    await operator.turn();
    expect([await statesOf(id), await statesOf(later)]).toEqual([['updated'], ['updated']]);
  });
});

describe('what a device runs', () => {
  const historyOf = async ({ device }: UpdatingDevice) => {
    const reading = { sql: database.store, cloudErrorMs: () => 100 };
    return (await listFirmwareChanges(reading, ALL_CUSTOMERS, device.deviceId, { limit: 10 })).items;
  };

  it('is kept with the report that shows it, once it is committed, and with when that was', async () => {
    const [one] = await join(1);
    if (one === undefined) return;
    await operator.assign(NEW, { targets: { devices: idsOf([one]) } });
    await operator.turn();
    await one.update(NEW);
    await one.report('idle', { slot: 'b' });
    const [newest, first, ...more] = await historyOf(one);
    expect(more).toEqual([]);
    expect(newest).toMatchObject({
      running: { ...NEW, published: true },
      slot: 'b',
      report: { start: 1, sequence: 4 },
    });
    expect(first).toMatchObject({ running: { ...OLD, published: true }, slot: 'a', time: { earliest: null } });
    expect(Date.parse(newest?.time.latest ?? '')).toBeGreaterThan(Date.parse(first?.time.latest ?? ''));
    expect(await readFirmware(database.store, ALL_CUSTOMERS, one.device.deviceId)).toMatchObject({
      firmware: { state: 'idle', running: NEW, committed: true },
      published: true,
    });
  });

  it('is shown as what nobody published when it is that', async () => {
    const [one] = await join(1);
    if (one === undefined) return;
    one.running = { ...OLD, sha256: 'f'.repeat(64) };
    await one.report('idle');
    expect((await historyOf(one)).map(({ running }) => running?.published)).toEqual([false, true]);
    expect(await readFirmware(database.store, ALL_CUSTOMERS, one.device.deviceId)).toMatchObject({ published: false });
  });

  it('has what reports say that come late in its place, and now is not changed by them', async () => {
    const [one] = await join(1);
    if (one === undefined) return;
    const says = async (release: typeof NEW, sequence: number, firmware = {}): Promise<void> => {
      one.running = release;
      await one.report('idle', firmware, { sequence, uptimeMs: 60_000 + sequence });
    };
    await says(NEW, 50);
    await says(OLD, 40);
    await says(BAD, 20);
    await says(BAD, 30);
    await says(OLD, 35, { slot: 'b' });
    await says(NEW, 33, { committed: false });
    const history = await historyOf(one);
    expect(history.map(({ running, report }) => [running?.counter, report.sequence])).toEqual([
      [2, 50],
      [1, 35],
      [3, 20],
      [1, 1],
    ]);
    const [, back] = history;
    const bound = await database.store.query('SELECT before_sequence FROM firmware_changes WHERE change_id = $1', [
      back?.changeId,
    ]);
    expect(bound).toEqual([{ before_sequence: 30 }]);
    const cursor = encodeCursor([back?.changeId ?? 0]);
    const reading = { sql: database.store, cloudErrorMs: () => 100 };
    const rest = await listFirmwareChanges(reading, ALL_CUSTOMERS, one.device.deviceId, { limit: 10, cursor });
    expect(rest.items.map(({ running }) => running?.counter)).toEqual([3, 1]);
    expect(await readFirmware(database.store, ALL_CUSTOMERS, one.device.deviceId)).toMatchObject({
      firmware: { running: NEW },
    });
  });
});
