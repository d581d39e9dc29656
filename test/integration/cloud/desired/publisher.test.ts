import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { setDesired } from '@paddock/cloud/desired/change.ts';
import { readDesired, type DesiredView } from '@paddock/cloud/desired/views.ts';
import { retireDevice } from '@paddock/cloud/devices/registry.ts';
import { fromInstant } from '@paddock/shared/time.ts';
import { BOTH_BROKERS, startBroker, type TestBroker } from '../../../harness/brokers.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { TestDevice } from '../../../harness/device.ts';
import { startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const DAY_MS = 86_400_000;
const NONCE = 'bm9uY2Utbm9uY2U';
const OTHER_LIFE = 'BBBBBBBBBBA';

let database: FreshDatabase;
let cloudKey: TestKey;
let count = 0;

const set = (id: string, key: string, value: unknown) =>
  database.store.transaction((sql) => setDesired(sql, 'test', id, key, value));
const view = (id: string): Promise<DesiredView> => readDesired(database.store, ALL_CUSTOMERS, id);

beforeAll(async () => {
  database = await freshDatabase();
  cloudKey = await makeTestKey();
});
afterAll(() => database.drop());

describe.each(BOTH_BROKERS)('desired state on its way through %s', (name) => {
  let broker: TestBroker;
  let cloud: TestIngest;
  let device: TestDevice;
  let sequence = 0;

  const start = async (epoch = 0): Promise<void> => {
    cloud = await startIngest(database.store, { on: broker, cloudKey, epoch });
  };
  const report = (fields: Parameters<TestDevice['report']>[0] = {}) =>
    device.report({ sequence: (sequence += 1), ...fields });
  /** A device that is known by a report. */
  const newDevice = async (): Promise<void> => {
    device = await TestDevice.register(database.store, `kiosk-${(count += 1)}`, cloudKey);
    await device.connect(cloud);
    await report({ ask: NONCE });
    await device.answer(({ nonce }) => nonce === NONCE);
  };

  beforeAll(async () => {
    broker = await startBroker(name);
    await start();
  });
  afterEach(() => device.close());
  afterAll(async () => {
    await cloud.close();
    await broker.stop();
  });

  it('reaches the device, is named in answers, and is retained for who comes later', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    const desired = await device.desires(({ version }) => version === 1);
    expect(desired).toMatchObject({ device: device.deviceId, epoch: 0, state: { agent: { logLevel: 'debug' } } });
    expect(fromInstant(desired.expiresAt) - fromInstant(desired.issuedAt)).toBe(30 * DAY_MS);
    await report({ ask: `${NONCE}2`, desired: { epoch: 0, version: 1 } });
    expect((await device.answer(({ nonce }) => nonce === `${NONCE}2`)).desired).toEqual({ epoch: 0, version: 1 });
    const later = new TestDevice(device.deviceId, device.key, cloudKey);
    await device.close();
    await later.connect(cloud);
    expect(await later.desires(() => true)).toEqual(desired);
    await later.close();
  });

  it('shows what the device reports of it', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    await device.desires(() => true);
    expect(await view(device.deviceId)).toMatchObject({ version: 1, reported: null, converged: false });
    const errors = { agent: { code: 'schedule_invalid', detail: 'no' } };
    await report({ desired: { epoch: 0, version: 1, errors } });
    while ((await view(device.deviceId)).reported === null) await sleep(10);
    expect(await view(device.deviceId)).toMatchObject({ reported: { errors }, converged: false });
    await report({ desired: { epoch: 0, version: 1 } });
    while (!(await view(device.deviceId)).converged) await sleep(10);
    expect((await view(device.deviceId)).reported).toEqual({ epoch: 0, version: 1 });
  });

  it('shows what the newest report says, whatever comes late', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    await device.desires(() => true);
    const late = (sequence += 1);
    await report({ desired: { epoch: 0, version: 1 } });
    while ((await view(device.deviceId)).reported === null) await sleep(10);
    await report({ sequence: late, ask: `${NONCE}4`, desired: { epoch: 0, version: 0 } });
    await device.answer(({ nonce }) => nonce === `${NONCE}4`);
    await sleep(200);
    expect(await view(device.deviceId)).toMatchObject({ reported: { version: 1 }, converged: true });
    expect(device.desired).toHaveLength(1);
  });

  it('comes for the life that the device lives now', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    const before = await device.desires(() => true);
    await report({ incarnation: OTHER_LIFE, ask: `${NONCE}3` });
    const { incarnation, version } = await device.desires((one) => one.incarnation !== before.incarnation);
    expect({ incarnation, version }).toEqual({ incarnation: OTHER_LIFE, version: 1 });
  });

  it('comes with the first report when it was set before', async () => {
    device = await TestDevice.register(database.store, `kiosk-${(count += 1)}`, cloudKey);
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    await device.connect(cloud);
    await sleep(200);
    expect(device.desired).toEqual([]);
    await report();
    expect(await device.desires(() => true)).toMatchObject({ version: 1 });
  });

  it('is published anew before it expires', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    const first = await device.desires(() => true);
    await cloud.close();
    await database.store.query(
      `UPDATE desired_states SET expires_at = now() + interval '9 days' WHERE device_id = $1`,
      [device.deviceId],
    );
    await start();
    await device.close();
    device = new TestDevice(device.deviceId, device.key, cloudKey);
    await device.connect(cloud);
    const again = await device.desires(({ issuedAt }) => issuedAt > first.issuedAt);
    expect({ ...again, issuedAt: '', expiresAt: '' }).toEqual({ ...first, issuedAt: '', expiresAt: '' });
  });

  it('is signed anew when devices do not believe the key any more that signed it, and not while they do', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    await device.desires(() => true);
    await device.close();
    const [other, ids] = [await makeTestKey(), [cloudKey.signing.keyId]];
    const restart = async (believed: readonly string[]): Promise<void> => {
      await cloud.close();
      cloud = await startIngest(database.store, {
        on: broker,
        cloudKey: other,
        epoch: 0,
        believedKeys: () => believed,
      });
    };
    await restart([...ids, other.signing.keyId]);
    await sleep(500);
    expect(cloud.metrics.of('paddock_desired_published_total')).toBe(0);
    await restart([other.signing.keyId]);
    device = new TestDevice(device.deviceId, device.key, other);
    await expect.poll(() => cloud.metrics.of('paddock_desired_published_total')).toBeGreaterThan(0);
    await device.connect(cloud);
    expect(await device.desires(() => true)).toMatchObject({ version: 1, state: { agent: { logLevel: 'debug' } } });
    await cloud.close();
    await start();
  });

  it('comes again when a report shows that the device lacks it, and not with every report', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    await device.desires(() => true);
    await database.store.query(`UPDATE desired_states SET published_at = now() - interval '1 hour'`);
    await report();
    while (device.desired.length < 2) await sleep(10);
    await database.store.query(`UPDATE desired_states SET published_at = now() - interval '1 hour'`);
    for (let n = 0; n < 5; n += 1) await report();
    await report({ ask: `${NONCE}4` });
    await device.answer(({ nonce }) => nonce === `${NONCE}4`);
    await sleep(200);
    expect(device.desired).toHaveLength(2);
  });

  it('is of the newer epoch after a restore, and nothing where the restored cloud knows of nothing', async () => {
    await newDevice();
    const known = device;
    await set(known.deviceId, 'agent', { logLevel: 'debug' });
    await known.desires(() => true);
    await newDevice();
    await cloud.close();
    await start(9);
    for (const one of [known, device]) await one.close();
    const reborn = [known, device].map(({ deviceId, key }) => new TestDevice(deviceId, key, cloudKey));
    for (const one of reborn) {
      await one.connect(cloud);
      await one.report({ sequence: (sequence += 1), desired: { epoch: 0, version: 4 } });
    }
    const [first, second] = await Promise.all(reborn.map((one) => one.desires(({ epoch }) => epoch === 9)));
    expect(first).toMatchObject({ version: 1, state: { agent: { logLevel: 'debug' } } });
    expect(second).toMatchObject({ version: 1, state: {} });
    for (const one of reborn) await one.close();
    await cloud.close();
    await start();
  });

  it('is taken away from the broker when the device is retired', async () => {
    await newDevice();
    await set(device.deviceId, 'agent', { logLevel: 'debug' });
    await device.desires(() => true);
    const { deviceId } = device;
    await database.store.transaction((sql) =>
      retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, expectedVersion: null }),
    );
    while (device.desired.at(-1) !== null) await sleep(10);
    const later = new TestDevice(deviceId, device.key, cloudKey);
    await device.close();
    await later.connect(cloud);
    await sleep(200);
    expect(later.desired).toEqual([]);
    await later.close();
  });
});
