import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { setDesired } from '@paddock/cloud/desired/change.ts';
import { readDesired } from '@paddock/cloud/desired/views.ts';
import { takeTurn } from '@paddock/cloud/instances/elected.ts';
import { LeaseLostError } from '@paddock/cloud/instances/lease.ts';
import { steer } from '@paddock/cloud/rollouts/steer.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { CountedMetrics, startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { addReleases, Operator, releaseOf, UpdatingDevice, withdrawRelease } from '../../../harness/updating.ts';

const HOUR_MS = 3_600_000;
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
const desiredOf = async (one: UpdatingDevice) =>
  (await readDesired(database.store, ALL_CUSTOMERS, one.device.deviceId)).state['firmware'];
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

describe('an assignment of devices that report', () => {
  it('goes through them, no more at once than its cap, until signed reports show all of them updated', async () => {
    const all = await join(3);
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) }, cap: 2 });
    await operator.turn();
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updating', 'updating', 'waiting']);
    const [first, second, third] = all;
    await first?.offered(NEW);
    await first?.report('downloading', { target: NEW, progressPercent: 41 });
    await operator.turn();
    expect((await operator.view(id)).totals).toMatchObject({ waiting: 1, updating: 2, updated: 0 });
    const [row] = await database.store.query('SELECT step, percent FROM assignment_devices WHERE device_id = $1', [
      first?.device.deviceId,
    ]);
    expect(row).toEqual({ step: 'downloading', percent: 41 });
    if (first) first.running = NEW;
    await first?.report('trial', { target: NEW, committed: false });
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updating', 'updating', 'waiting']);
    await first?.report('committed');
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updated', 'updating', 'updating']);
    await Promise.all([second?.update(NEW), third?.update(NEW)]);
    await operator.turn();
    await operator.turn();
    expect(await operator.view(id)).toMatchObject({ state: 'completed', totals: { updated: 3, waiting: 0 } });
    expect(operator.metrics.of('paddock_assignment_devices_total', 'updated')).toBe(3);
  });

  it('halts with as many failures as it allows, and takes the release back from those that have not begun', async () => {
    const all = await join(5);
    const [first, second, third, fourth] = all;
    await database.store.transaction((sql) => setDesired(sql, 'test', third?.device.deviceId ?? '', 'firmware', OLD));
    const id = await operator.assign(BAD, { targets: { devices: idsOf(all) }, cap: 4, haltAfter: 2 });
    await operator.turn();
    await first?.fail(BAD);
    await operator.turn();
    expect(await operator.view(id)).toMatchObject({ state: 'active', totals: { failed: 1, updating: 4 } });
    await fourth?.offered(BAD);
    await fourth?.report('armed', { target: BAD });
    await second?.fail(BAD);
    await operator.turn();
    await operator.turn();
    const [one = '', two = ''] = idsOf(all);
    expect(await operator.view(id)).toMatchObject({
      state: 'halted',
      code: 'too_many_failures',
      detail: `${one} health_probe_failed, ${two} health_probe_failed`,
    });
    expect(await statesOf(id)).toEqual([
      'failed health_probe_failed',
      'failed health_probe_failed',
      'waiting',
      'updating',
      'waiting',
    ]);
    expect(await Promise.all(all.map(desiredOf))).toEqual([BAD, BAD, OLD, BAD, undefined]);
    const told = await database.store.query("SELECT data FROM notifications WHERE type = 'assignment.halted'");
    expect(told).toMatchObject([{ data: { assignmentId: id, code: 'too_many_failures' } }]);
    expect(operator.audit.entries).toMatchObject([{ actor: 'service', action: 'haltAssignment' }]);

    await operator.steer(id, 'resume');
    await operator.turn();
    expect(await statesOf(id)).toEqual([
      'failed health_probe_failed',
      'failed health_probe_failed',
      'updating',
      'updating',
      'updating',
    ]);
  });

  it('goes past a device from which nothing comes, counts it as a failure, and takes it when it comes back', async () => {
    const all = await join(4);
    const [silent] = all;
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) }, cap: 1, haltAfter: 2 });
    await operator.turn();
    await operator.turn(HOUR_MS - 10_000);
    expect(await statesOf(id)).toEqual(['updating', 'waiting', 'waiting', 'waiting']);
    await operator.turn(HOUR_MS + 10_000);
    expect(await statesOf(id)).toEqual(['stalled device_silent', 'updating', 'waiting', 'waiting']);
    await silent?.update(NEW);
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updated', 'updating', 'waiting', 'waiting']);
    await operator.turn(2 * HOUR_MS);
    await operator.turn(4 * HOUR_MS);
    expect(await operator.view(id)).toMatchObject({ state: 'halted', totals: { updated: 1, waiting: 3 } });
  });

  it('hands nothing out while it is paused, and goes on when it is resumed', async () => {
    const all = await join(2);
    const [first] = all;
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) }, cap: 1 });
    await operator.turn();
    await operator.steer(id, 'pause');
    await operator.turn();
    expect(await statesOf(id)).toEqual(['waiting', 'waiting']);
    expect(first && (await desiredOf(first))).toBeUndefined();
    await operator.steer(id, 'pause');
    await operator.steer(id, 'resume');
    await operator.turn();
    await first?.update(NEW);
    await operator.steer(id, 'cancel');
    await operator.turn();
    expect(await operator.view(id)).toMatchObject({ state: 'cancelled', totals: { updated: 0, cancelled: 2 } });
    await expect(operator.steer(id, 'resume')).rejects.toMatchObject({ code: 'assignment_ended' });
  });

  it('hands nothing out once somebody is pausing it', async () => {
    const all = await join(1);
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) } });
    let turned: Promise<void> | undefined;
    await database.store.transaction(async (sql) => {
      await steer(sql, ALL_CUSTOMERS, 'token:test', id, 'pause');
      turned = operator.turn();
      await systemClock.sleep(500);
    });
    await turned;
    expect(await statesOf(id)).toEqual(['waiting']);
  });

  it('gives way to a later one, and to whoever sets something else', async () => {
    const all = await join(2);
    const [first, second] = all;
    const earlier = await operator.assign(NEW, { targets: { devices: idsOf(all) } });
    await operator.turn();
    const later = await operator.assign(BAD, { targets: { devices: idsOf(all).slice(0, 1) } });
    await database.store.transaction((sql) => setDesired(sql, 'test', second?.device.deviceId ?? '', 'firmware', null));
    await operator.turn();
    await operator.turn();
    expect(await statesOf(earlier)).toEqual(['superseded superseded', 'superseded desired_changed']);
    expect(await operator.view(earlier)).toMatchObject({ state: 'completed' });
    expect(await statesOf(later)).toEqual(['updating']);
    expect(first && (await desiredOf(first))).toEqual(BAD);
  });

  it('leaves what somebody set meanwhile, when it is taken back', async () => {
    const [first, second] = await join(2);
    if (first === undefined || second === undefined) return expect.fail('nobody joined');
    const id = await operator.assign(NEW, { targets: { devices: idsOf([first, second]) } });
    await operator.turn();
    await database.store.transaction((sql) => setDesired(sql, 'test', first.device.deviceId, 'firmware', OLD));
    await operator.steer(id, 'pause');
    expect([await desiredOf(first), await desiredOf(second)]).toEqual([OLD, undefined]);
  });

  it('halts when its release is withdrawn', async () => {
    const withdrawn = releaseOf(9);
    await addReleases(database.store, [withdrawn]);
    const all = await join(2);
    const id = await operator.assign(withdrawn, { targets: { devices: idsOf(all) }, cap: 1 });
    await operator.turn();
    await withdrawRelease(database.store, withdrawn);
    await operator.turn();
    expect(await operator.view(id)).toMatchObject({
      state: 'halted',
      code: 'release_withdrawn',
      totals: { waiting: 2 },
    });
    await expect(operator.steer(id, 'resume')).rejects.toMatchObject({ code: 'release_withdrawn' });
  });

  it('calls a device updated that could not at first, tried again by itself, and can', async () => {
    const all = await join(1);
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) } });
    await operator.turn();
    await all[0]?.offered(NEW);
    await all[0]?.report('failed', { target: NEW, error: { code: 'download_failed' } });
    await operator.turn();
    await operator.turn();
    expect([await statesOf(id), (await operator.view(id)).state]).toEqual([['failed download_failed'], 'completed']);
    if (all[0]) all[0].running = NEW;
    await all[0]?.report('committed');
    await operator.turn();
    expect(await statesOf(id)).toEqual(['updated']);
  });
});

describe('two assignments for one device', () => {
  it('do not bring it one after the other to two bundles, whichever it waits for: the later one has it', async () => {
    const otherBundle = releaseOf(7, 'ticketing');
    await addReleases(database.store, [otherBundle]);
    const all = await join(1);
    await database.store.query("UPDATE presence SET state = 'lost' WHERE device_id = ANY($1)", [idsOf(all)]);
    const earlier = await operator.assign(NEW, { targets: { devices: idsOf(all) } });
    const later = await operator.assign(otherBundle, { targets: { devices: idsOf(all) } });
    await database.store.query("UPDATE presence SET state = 'online' WHERE device_id = ANY($1)", [idsOf(all)]);
    await operator.turn();
    await operator.turn();
    expect([await statesOf(earlier), await statesOf(later)]).toEqual([['superseded superseded'], ['updating']]);
    expect(all[0] && (await desiredOf(all[0]))).toEqual(otherBundle);
  });
});

describe('a standing assignment', () => {
  it('takes devices that come to fit it, and none that a later assignment has', async () => {
    const [first, second] = await join(2);
    if (first === undefined || second === undefined) return expect.fail('nobody joined');
    const filter = { running: 'locker' };
    const standing = await operator.assign(NEW, { targets: { filter }, standing: true });
    const later = await operator.assign(BAD, { targets: { devices: idsOf([second]) } });
    for (const one of [first, second]) {
      one.running = releaseOf(1, 'locker');
      await one.report('idle');
    }
    await operator.turn();
    await operator.turn();
    expect([await statesOf(standing), await statesOf(later)]).toEqual([['updating'], ['updating']]);
    expect([await desiredOf(first), await desiredOf(second)]).toEqual([NEW, BAD]);
    await operator.steer(standing, 'cancel');
  });
});

describe('the job on another instance', () => {
  const elected = (instanceId: string, leaseMs: number, work: (own: FreshDatabase['store']) => Promise<void>) =>
    takeTurn(
      {
        store: database.store,
        clock: systemClock,
        metrics: new CountedMetrics(),
        log: pino({ level: 'silent' }),
        instanceId,
      },
      { job: 'rollouts', everyMs: 1, retryMs: 1, leaseMs, work: (own) => work(own) },
    );

  it('goes on where one stood still, which hands nothing out any more', async () => {
    // The first one to ask makes the lease.
    await elected('first', 200, async () => undefined);
    const all = await join(4);
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) }, cap: 2 });
    const stopped = elected('stopped', 200, async (own) => {
      await systemClock.sleep(400);
      await elected('second', 5_000, (other) => operator.turn(0, other));
      await operator.turn(0, own);
    });
    await expect(stopped).rejects.toBeInstanceOf(LeaseLostError);
    expect(await statesOf(id)).toEqual(['updating', 'updating', 'waiting', 'waiting']);
  });

  it('hands out no more than the cap, were both at it at once', async () => {
    const all = await join(4);
    const id = await operator.assign(NEW, { targets: { devices: idsOf(all) }, cap: 2 });
    await Promise.all([operator.turn(), operator.turn(), operator.turn()]);
    expect(await statesOf(id)).toEqual(['updating', 'updating', 'waiting', 'waiting']);
  });
});
