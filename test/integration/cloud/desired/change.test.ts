import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { patchDesired, replaceDesired, setDesired, type DesiredChange } from '@paddock/cloud/desired/change.ts';
import { listDesiredEdits, readDesired } from '@paddock/cloud/desired/views.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import { addDevices } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';

const FIRMWARE = { name: 'kiosk', version: '1.1.0', counter: 2, sha256: 'ab'.repeat(32) };

let database: FreshDatabase;
let count = 0;
const newDevice = async (): Promise<string> => {
  const id = `kiosk-${(count += 1)}`;
  await addDevices(database.store, [id]);
  return id;
};
const within = (work: (sql: Sql) => Promise<DesiredChange>) => database.store.transaction(work);
const set = (id: string, key: string, value: unknown) => within((sql) => setDesired(sql, 'test', id, key, value));

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

describe('desired state of a device', () => {
  it('gets a version with each change, and none with what is so already', async () => {
    const id = await newDevice();
    expect(await set(id, 'agent', { logLevel: 'debug' })).toMatchObject({ version: 1, changed: true });
    expect(await set(id, 'agent', { logLevel: 'debug' })).toMatchObject({ version: 1, changed: false });
    expect(await set(id, 'firmware', FIRMWARE)).toMatchObject({ version: 2, changed: true });
    const reordered = Object.fromEntries(Object.entries(FIRMWARE).toReversed());
    expect(await set(id, 'firmware', reordered)).toMatchObject({ version: 2, changed: false });
    expect(await set(id, 'agent', null)).toMatchObject({ version: 3, state: { firmware: FIRMWARE } });
    expect(await set(id, 'agent', null)).toMatchObject({ version: 3, changed: false });
    expect(await set(id, 'firmware', null)).toMatchObject({ version: 4, state: {} });
  });

  it('is nothing as long as only nothing is taken away', async () => {
    const id = await newDevice();
    expect(await set(id, 'agent', null)).toMatchObject({ version: 0, changed: false });
    expect(await readDesired(database.store, ALL_CUSTOMERS, id)).toMatchObject({
      version: 0,
      state: {},
      changedBy: null,
      converged: true,
    });
  });

  it('is edited as it was read, if its editor says so', async () => {
    const id = await newDevice();
    await within((sql) => patchDesired(sql, 'test', id, { agent: { logLevel: 'info' }, x: 1 }, 0));
    await expect(within((sql) => patchDesired(sql, 'test', id, { x: 2 }, 0))).rejects.toMatchObject({
      code: 'version_conflict',
    });
    expect(await within((sql) => replaceDesired(sql, 'test', id, { y: [] }, 1))).toMatchObject({
      version: 2,
      state: { y: [] },
    });
  });

  it('says who set what, version by version', async () => {
    const id = await newDevice();
    await set(id, 'agent', { logLevel: 'debug' });
    await within((sql) => setDesired(sql, 'token:operator 0000-1', id, 'agent', { logLevel: 'warn' }));
    const page = await listDesiredEdits(database.store, ALL_CUSTOMERS, id, { limit: 1 });
    expect(page.items).toMatchObject([
      {
        version: 2,
        changedBy: 'token:operator',
        requestId: '0000-1',
        changes: [{ key: 'agent', before: { logLevel: 'debug' }, after: { logLevel: 'warn' } }],
      },
    ]);
    const rest = await listDesiredEdits(database.store, ALL_CUSTOMERS, id, { limit: 5, cursor: page.next ?? '' });
    expect(rest).toMatchObject({ items: [{ version: 1, changedBy: 'test' }], next: null });
  });

  it('keeps its versions in order when many edit at once', async () => {
    const id = await newDevice();
    const edits = await Promise.all(Array.from({ length: 12 }, (_, n) => set(id, `key${n}`, n)));
    expect(edits.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 12 }, (_, n) => n + 1),
    );
    const { state } = await readDesired(database.store, ALL_CUSTOMERS, id);
    expect(Object.keys(state)).toHaveLength(12);
  });

  test.each<[code: string, key: string, value: unknown]>([
    ['desired_key_invalid', 'No', 1],
    ['desired_key_invalid', 'a'.repeat(33), 1],
    ['desired_value_invalid', 'agent', { schedule: 'whenever' }],
    ['desired_value_invalid', 'agent', { loglevel: 'info' }],
    ['desired_value_invalid', 'agent', 'debug'],
    ['desired_value_invalid', 'agent', undefined],
    ['desired_value_invalid', 'firmware', { ...FIRMWARE, sha256: 'AB' }],
    ['desired_value_invalid', 'firmware', { ...FIRMWARE, repository: 'file:///etc/' }],
    ['time_zone_invalid', 'firmware', { ...FIRMWARE, window: { zone: 'Mars/Base', from: '01:00', to: '04:00' } }],
    ['desired_value_invalid', 'text', 'a\0b'],
    ['desired_value_invalid', 'text', '\ud800'],
    ['desired_value_invalid', 'deep', JSON.parse('['.repeat(40) + ']'.repeat(40))],
    ['desired_too_large', 'text', 'x'.repeat(40_000)],
  ])('is refused as %s when %s is not what it may be', async (code, key, value) => {
    const id = await newDevice();
    await expect(set(id, key, value)).rejects.toMatchObject({ code });
    expect((await readDesired(database.store, ALL_CUSTOMERS, id)).version).toBe(0);
  });

  it('holds no more keys than its form', async () => {
    const id = await newDevice();
    const keys = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`key${n}`, n]));
    await expect(within((sql) => patchDesired(sql, 'test', id, keys))).rejects.toMatchObject({
      code: 'desired_too_large',
    });
  });

  it('is set of devices that are there, by somebody', async () => {
    const id = await newDevice();
    await expect(set('kiosk-none', 'x', 1)).rejects.toMatchObject({ code: 'device_unknown' });
    await within(async (sql) => {
      await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
      await sql.query('UPDATE devices SET retired_at = now() WHERE device_id = $1', [id]);
      return { deviceId: id, version: 0, state: {}, changed: false };
    });
    await expect(set(id, 'x', 1)).rejects.toMatchObject({ code: 'device_retired' });
    await expect(
      database.store.query(
        `INSERT INTO desired_states (device_id, version, state, changed_by) VALUES ($1, 1, '{}', '')`,
        [id],
      ),
    ).rejects.toMatchObject({ code: 'PDACT' });
  });
});
