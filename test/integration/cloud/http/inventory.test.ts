import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { verifyProof } from '@paddock/cloud/proof/verify.ts';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { inventoryDigest, type Inventory } from '@paddock/shared/inventory.ts';
import { fromInstant, toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { TestDevice } from '../../../harness/device.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { inventoryOf, MACHINE, machineWith } from '../../../harness/inventories.ts';

const NONCE = 'bm9uY2Utbm9uY2U';
const ID = 'kiosk-0001';
const PATH = `/api/v1/devices/${ID}/inventory`;
const SWAPPED = machineWith('sda', { kind: 'disk', name: 'sda', serialNumber: 'S64-2222' });
const UPGRADED = SWAPPED.map((system) => ({ ...system, version: '2' }));

interface Time {
  readonly earliest: string | null;
  readonly latest: string;
  readonly basis: string;
}

describe('the inventory of a device over HTTP', () => {
  let database: FreshDatabase;
  let cloud: TestIngest;
  let http: TestHttp;
  let device: TestDevice;
  /** Between the second and the third inventory. */
  let between = '';

  beforeAll(async () => {
    database = await freshDatabase();
    cloud = await startIngest(database.store);
    http = await startHttp(database.store);
    device = await TestDevice.register(database.store, ID, cloud.cloudKey);
    await device.connect(cloud.url);
    const began = Date.now() - 60_000;
    const uptimeMs = () => Math.round(Date.now() - began);
    await device.report({ ask: NONCE, uptimeMs: uptimeMs() });
    const { receivedAt, sentAt } = await device.answer(({ nonce }) => nonce === NONCE);
    const exchange = { requestUptimeMs: 59_000, receivedAt, sentAt, responseUptimeMs: uptimeMs() };
    await device.report({ ask: `${NONCE}2`, sequence: 1, uptimeMs: uptimeMs(), exchanges: [exchange] });
    await device.answer(({ nonce }) => nonce === `${NONCE}2`);
    for (const [at, components] of [MACHINE, SWAPPED, UPGRADED].entries()) {
      if (at === 2) {
        // The cloud's own clock may be wrong by 100 ms here: an interval is that much wider.
        await sleep(300);
        between = toInstant(wallMs(Date.now()));
        await sleep(300);
      }
      const inventory = inventoryOf({ uptimeMs: uptimeMs(), components: components as Inventory['components'] });
      const envelope = await seal('inventory', inventory, device.key.signing, deflater);
      await device.publish(envelope, topicOf('inventory', ID));
      while (cloud.metrics.of('paddock_inventories_total', 'new') <= at) await sleep(5);
    }
  });
  afterAll(async () => {
    await device.close();
    await http.close();
    await cloud.close();
    await database.drop();
  });

  it('is the current one, as it was signed', async () => {
    const { status, body } = await http.call('GET', PATH);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      deviceId: ID,
      content: await inventoryDigest(UPGRADED),
      unseen: [],
      components: UPGRADED,
    });
    const { earliest, latest, basis } = body['time'] as Time;
    expect(basis).toBe('exchanged');
    expect(fromInstant(latest) - fromInstant(earliest ?? '')).toBeLessThan(2_000);
  });

  it('is the one of a moment', async () => {
    const { body } = await http.call('GET', `${PATH}?asOf=${between}`);
    expect(body['components']).toEqual(SWAPPED);
    const long = await http.call('GET', `${PATH}?asOf=2020-01-01T00:00:00.000Z`);
    expect([long.status, long.body['code']]).toEqual([404, 'not_found']);
    expect((await http.call('GET', `${PATH}?asOf=yesterday`)).body['code']).toBe('request_invalid');
  });

  it('has its changes page by page, newest first, each between two inventories', async () => {
    const seen: Record<string, unknown>[] = [];
    for (let cursor = ''; ;) {
      const { items, body } = await http.call('GET', `${PATH}/changes?limit=2${cursor}`);
      expect(items.length).toBeLessThanOrEqual(2);
      seen.push(...items);
      const { next } = body;
      if (typeof next !== 'string') break;
      cursor = `&cursor=${next}`;
    }
    expect(seen.map(({ change, path }) => [change, path])).toEqual([
      ['changed', ['system system']],
      ['added', ['system system', 'disk sda']],
      ['removed', ['system system', 'disk sda']],
    ]);
    const [changed, added, removed] = seen;
    expect(changed).toMatchObject({ before: { serialNumber: 'ACM-0001' }, after: { version: '2' }, fromDevice: null });
    expect(changed).not.toHaveProperty('after.children');
    expect(added).toMatchObject({ before: null, after: { serialNumber: 'S64-2222' } });
    expect(removed).toMatchObject({
      before: { serialNumber: 'S64-1111' },
      after: null,
      previousInventoryId: 1,
      inventoryId: 2,
    });
    const [first, second] = await Promise.all([1, 2].map((id) => interval(id)));
    expect(removed).toMatchObject({ time: { earliest: first?.earliest, latest: second?.latest } });
    expect((await http.call('GET', `${PATH}/changes?cursor=none`)).body['code']).toBe('cursor_invalid');
  });

  /** When an inventory was made: that of the current one, at the moment when it was. */
  async function interval(id: number): Promise<Time> {
    const [row] = await database.store.query<{ latest: Date }>(
      'SELECT latest FROM inventories WHERE inventory_id = $1',
      [id],
    );
    const { body } = await http.call('GET', `${PATH}?asOf=${row?.latest.toISOString()}`);
    expect(body['inventoryId']).toBe(id);
    return body['time'] as Time;
  }

  it('is proved offline, and nothing else passes for it', async () => {
    const { body: proof } = await http.call('GET', `${PATH}/2/proof`);
    const verified = await verifyProof(proof, inflater, device.key.verification.thumbprint);
    expect(verified.signed).toMatchObject({ inventory: { device: ID, components: SWAPPED } });
    const { body: other } = await http.call('GET', `${PATH}/1/proof`);
    const mixed = { ...proof, envelope: other['envelope'] };
    await expect(verifyProof(mixed, inflater)).rejects.toMatchObject({ code: 'digest_mismatch' });
    expect((await http.call('GET', `${PATH}/99/proof`)).status).toBe(404);
    const presence = await seal('presence', inventoryOf(), device.key.signing, deflater);
    await expect(verifyProof({ ...proof, envelope: presence }, inflater)).rejects.toThrow();
  });

  it('is shown to nobody else', async () => {
    const token = await http.tokenOf('other');
    for (const path of [PATH, `${PATH}/changes`, `${PATH}/1/proof`])
      expect((await http.call('GET', path, { token })).status).toBe(404);
    expect((await http.call('GET', '/api/v1/devices/kiosk-none/inventory/changes')).status).toBe(404);
  });
});
