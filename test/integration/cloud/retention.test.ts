import { afterAll, beforeAll, expect, test } from 'vitest';
import { forgetOld } from '@paddock/cloud/store/retention.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { startIngest, type TestIngest } from '../../harness/ingest.ts';
import { Life } from '../../harness/life.ts';

const DAYS = 86_400_000;
const KEEP = { retentionDays: 30, lateDays: 30 };
let database: FreshDatabase;
let ingest: TestIngest;
const devices: TestDevice[] = [];
beforeAll(async () => {
  database = await freshDatabase();
  ingest = await startIngest(database.store);
});
afterAll(async () => {
  for (const device of devices) await device.close();
  await ingest.close();
  await database.drop();
});

async function deviceNamed(deviceId: string): Promise<TestDevice> {
  const device = await TestDevice.register(database.store, deviceId, ingest.cloudKey);
  devices.push(device);
  return device.connect(ingest.url);
}

/** Lets what was recorded so far have arrived days earlier. */
async function age(deviceId: string, days: number): Promise<void> {
  const back = `- interval '${days} days'`;
  for (const table of ['starts', 'boots'])
    await database.store.query(
      `UPDATE ${table} SET first_received_at = first_received_at ${back}, last_received_at = last_received_at ${back}
       WHERE device_id = $1`,
      [deviceId],
    );
  await database.store.query(`UPDATE changes SET received_at = received_at ${back} WHERE device_id = $1`, [deviceId]);
  await database.store.query(`DELETE FROM reports WHERE device_id = $1`, [deviceId]);
}

const forget = (pace?: { rows: number; steps: number }) => forgetOld(database.store, wallMs(Date.now()), KEEP, pace);
const starts = async (table: string, deviceId: string) =>
  (
    await database.store.query<{ start: number }>(`SELECT start FROM ${table} WHERE device_id = $1 ORDER BY 1`, [
      deviceId,
    ])
  ).map(({ start }) => start);
const door = (changes: number) => ({ door: { value: true, ageMs: 0, changes, changedAgoMs: 5 } });

test('what belongs to no kept report is forgotten, in steps, and the newest start of a device never', async () => {
  const device = await deviceNamed('kiosk-old');
  for (let start = 1; start <= 5; start += 1) await new Life(device, start, 20).report({ readings: door(1) });
  await age('kiosk-old', 40);
  expect(await forgetOld(database.store, wallMs(Date.now()), { retentionDays: 0 })).toMatchObject({ starts: 0 });
  // A device that was away for long may still send what it kept: only the archive is as short as one likes.
  expect(await forgetOld(database.store, wallMs(Date.now()), { retentionDays: 1 })).toMatchObject({ starts: 0 });
  expect(await forget({ rows: 2, steps: 1 })).toMatchObject({ starts: 2 });
  expect(await forget()).toMatchObject({ starts: 2, boots: 2 });
  for (const table of ['starts', 'clocks', 'changes'])
    expect([table, await starts(table, 'kiosk-old')]).toEqual([table, [5]]);
  expect(await database.store.query(`SELECT FROM boots WHERE device_id = 'kiosk-old'`)).toHaveLength(1);
  expect(Object.values(await forget()).filter((count) => count > 0)).toEqual([]);
});

test('a report of a forgotten start is refused for ever and recorded never, one of a start that was never heard is taken', async () => {
  const device = await deviceNamed('kiosk-repeat');
  const first = new Life(device, 1);
  await first.report();
  const unheard = new Life(device, 3);
  await new Life(device, 2, 20).report();
  await age('kiosk-repeat', 40);
  await new Life(device, 4, 20).report();
  await forget();
  expect(await starts('starts', 'kiosk-repeat')).toEqual([4]);
  await first.report({ sequence: 0 });
  await first.report({ sequence: 1 });
  await unheard.report();
  const codes = device.answers.flatMap(({ rejected }) => rejected.map(({ code }) => code));
  expect(new Set(codes)).toEqual(new Set(['sequence_abandoned']));
  expect(await starts('reports', 'kiosk-repeat')).toEqual([3, 4]);
  await forget();
  await first.report({ sequence: 2 });
  expect(await starts('reports', 'kiosk-repeat')).toEqual([3, 4]);
});

test('a sensor that has not changed for long keeps its change, and what was never told stays known', async () => {
  const life = new Life(await deviceNamed('kiosk-still'), 1);
  for (const changes of [1, 2, 5]) await life.report({ readings: door(changes) });
  await age('kiosk-still', 40);
  expect(await forget({ rows: 1, steps: 5 })).toMatchObject({ changes: 2, starts: 0 });
  await life.report({ readings: door(5) });
  await life.report({ readings: door(7) });
  const kept = await database.store.query(`SELECT changes FROM changes WHERE device_id = 'kiosk-still' ORDER BY 1`);
  expect(kept).toEqual([{ changes: 5 }, { changes: 7 }]);
});

test('pieces of the history of a clock go with what they bounded', async () => {
  const piece = `INSERT INTO clock_history (device_id, boot_id, segment, from_uptime_ms, to_uptime_ms, region, closed_at)
    VALUES ('kiosk-old', 'b', 0, 0, 1, '[]', now() - interval '40 days'), ('kiosk-old', 'b', 0, 1, 2, '[]', now())`;
  await database.store.query(piece);
  expect(await forget()).toMatchObject({ clockHistory: 1 });
  expect(await database.store.query('SELECT FROM clock_history')).toHaveLength(1);
});

test('a start whose last report arrived in the first moment that is kept stays', async () => {
  const device = await deviceNamed('kiosk-edge');
  await new Life(device, 1).report();
  await new Life(device, 2, 20).report();
  const midnight = Math.floor(Date.now() / DAYS) * DAYS - KEEP.retentionDays * DAYS;
  await database.store.query(
    `UPDATE starts SET first_received_at = $1, last_received_at = $1 WHERE device_id = 'kiosk-edge' AND start = 1`,
    [new Date(midnight)],
  );
  await forget();
  expect(await starts('starts', 'kiosk-edge')).toEqual([1, 2]);
});

test('of inventories stay the current one and what a device was made of when the retention began', async () => {
  const { deviceId } = await deviceNamed('kiosk-made');
  await database.store.query(
    `WITH made AS (
       INSERT INTO inventories (device_id, ordinal, incarnation, start, boot_id, segment, uptime_ms, received_at, latest,
         basis, digest, content, envelope)
       SELECT $1, 1, 'i', 1, 'b', 0, 100 - days, now() - days * interval '1 day', now(), 'arrival', int4send(days), 'c', 'e'
       FROM unnest(ARRAY[60, 50, 40, 20, 10]) AS days ORDER BY days DESC
       RETURNING inventory_id, uptime_ms),
     current AS (
       INSERT INTO current_inventories (device_id, inventory_id, content, components)
       SELECT $1, inventory_id, 'c', '[]' FROM made WHERE uptime_ms = 90)
     INSERT INTO inventory_changes (device_id, inventory_id, previous_id, change, kind, path)
     SELECT $1, b.inventory_id, a.inventory_id, 'changed', 'disk', '[]'
     FROM made a JOIN made b ON b.inventory_id = a.inventory_id + 1`,
    [deviceId],
  );
  expect(await forget({ rows: 1, steps: 9 })).toMatchObject({ inventoryChanges: 2, inventories: 2 });
  const kept = await database.store.query<{ uptime_ms: number }>('SELECT uptime_ms FROM inventories ORDER BY 1');
  expect(kept.map(({ uptime_ms }) => 100 - uptime_ms)).toEqual([40, 20, 10]);
  expect(await database.store.query('SELECT FROM inventory_changes')).toHaveLength(2);
});

test('crash reports go with the archive', async () => {
  const { deviceId } = await deviceNamed('kiosk-broke');
  await database.store.query(
    `INSERT INTO crashes (device_id, crash_id, incarnation, start, received_at, reason, boot_id, segment, uptime_ms, latest,
       basis, digest, envelope)
     SELECT $1, 'c' || days, 'i', 1, now() - days * interval '1 day', 'power', 'b', 0, 1, now(), 'arrival', '', 'e'
     FROM unnest(ARRAY[60, 40, 20]) AS days`,
    [deviceId],
  );
  expect(await forget({ rows: 1, steps: 9 })).toMatchObject({ crashes: 2 });
  expect(await database.store.query('SELECT crash_id FROM crashes')).toEqual([{ crash_id: 'c20' }]);
});

test('of what devices ran stays what each ran when the retention began, and all after', async () => {
  const { deviceId } = await deviceNamed('kiosk-ran');
  await database.store.query(
    `INSERT INTO firmware_changes (device_id, name, version, counter, sha256, incarnation, ordinal, start, sequence, boot_id,
       segment, uptime_ms, received_at, latest, basis)
     SELECT $1, 'kiosk', '1', 100 - days, 's', 'i', 1, 1, 100 - days, 'b', 0, 1, now() - days * interval '1 day', now(), 'arrival'
     FROM unnest(ARRAY[60, 50, 40, 20, 10]) AS days ORDER BY days DESC`,
    [deviceId],
  );
  expect(await forget({ rows: 1, steps: 9 })).toMatchObject({ firmwareChanges: 2 });
  const kept = await database.store.query<{ counter: number }>('SELECT counter FROM firmware_changes ORDER BY 1');
  expect(kept.map(({ counter }) => 100 - counter)).toEqual([40, 20, 10]);
});
