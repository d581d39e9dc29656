import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { inventoryDigest, type Component, type Inventory } from '@paddock/shared/inventory.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { BOTH_BROKERS, startBroker, type TestBroker } from '../../harness/brokers.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { startIngest, type TestIngest } from '../../harness/ingest.ts';
import { inventoryOf, MACHINE, machineWith } from '../../harness/inventories.ts';
import { makeTestKey } from '../../harness/signing.ts';

const NONCE = 'bm9uY2Utbm9uY2U';

interface ChangeRow {
  readonly change: string;
  readonly path: readonly string[];
  readonly from_device: string | null;
}

describe.each(BOTH_BROKERS)('inventories through %s', (name) => {
  let database: FreshDatabase;
  let broker: TestBroker;
  let cloud: TestIngest;
  let device: TestDevice;
  let devices = 0;
  let serial = '';

  beforeAll(async () => {
    database = await freshDatabase();
    broker = await startBroker(name);
    cloud = await startIngest(database.store, { on: broker });
  });
  const connected = async (): Promise<TestDevice> => {
    const another = await TestDevice.register(database.store, `kiosk-${(devices += 1)}`, cloud.cloudKey);
    await another.connect(cloud);
    await known(another);
    return another;
  };
  beforeEach(async () => {
    device = await connected();
    serial = `ACM-${devices}00`;
    return () => device.close();
  });
  afterAll(async () => {
    await cloud.close();
    await broker.stop();
    await database.drop();
  });

  /** A machine that nobody else has. */
  const machine = (components: readonly Component[] = MACHINE): Inventory['components'] =>
    JSON.parse(
      JSON.stringify(components).replaceAll(/"serialNumber":"([^"]+)"/g, `"serialNumber":"$1 ${serial}"`),
    ) as Inventory['components'];
  /** The cloud knows its incarnation and its clock. */
  const known = async (sender: TestDevice, start = 1): Promise<void> => {
    await sender.report({ ask: NONCE, start, ...(start > 1 && { boot: { id: `boot-${start}` } }) });
    await sender.answer((answer) => answer.start === start);
  };
  const outcomes = ['new', 'repeated', 'late', 'early', 'too-often', 'refused', 'failed'] as const;
  const counted = (): number =>
    outcomes.reduce((sum, outcome) => sum + cloud.metrics.of('paddock_inventories_total', outcome), 0);
  const sealed = (sender: TestDevice, fields: Partial<Inventory>): Promise<string> =>
    seal(
      'inventory',
      inventoryOf({ device: sender.deviceId, components: machine(), ...fields }),
      sender.key.signing,
      deflater,
    );
  /** Sends something on the topic of inventories. @returns what became of it */
  const send = async (payload: string, sender = device): Promise<string | undefined> => {
    const before = counted();
    const counts = outcomes.map((outcome) => cloud.metrics.of('paddock_inventories_total', outcome));
    await sender.publish(payload, topicOf('inventory', sender.deviceId));
    while (counted() === before) await sleep(5);
    return outcomes.find((outcome, at) => cloud.metrics.of('paddock_inventories_total', outcome) !== counts[at]);
  };
  const report = async (fields: Partial<Inventory> = {}, sender = device) => send(await sealed(sender, fields), sender);
  const changes = ({ deviceId } = device): Promise<ChangeRow[]> =>
    database.store.query<ChangeRow>(
      'SELECT change, path, from_device FROM inventory_changes WHERE device_id = $1 ORDER BY change_id',
      [deviceId],
    );
  const current = async () => {
    const [row] = await database.store.query<{ content: string; uptime_ms: number }>(
      'SELECT c.content, v.uptime_ms FROM current_inventories c JOIN inventories v USING (inventory_id) WHERE c.device_id = $1',
      [device.deviceId],
    );
    return row;
  };
  const notices = (): Promise<{ data: Record<string, unknown> }[]> =>
    database.store.query(`SELECT data FROM notifications WHERE type = 'device.inventory' AND device_id = $1`, [
      device.deviceId,
    ]);

  it('records the first one, which changes nothing', async () => {
    expect(await report()).toBe('new');
    expect(await current()).toEqual({ content: await inventoryDigest(machine()), uptime_ms: 90_000 });
    expect(await changes()).toEqual([]);
    expect(await notices()).toEqual([]);
  });

  it('records every change once, and tells of it', async () => {
    await report();
    const swapped = machineWith('sda', { kind: 'disk', name: 'sda', serialNumber: 'S64-2222' });
    const envelope = await sealed(device, { uptimeMs: 95_000, components: machine(swapped) });
    expect(await send(envelope)).toBe('new');
    expect(await send(envelope)).toBe('repeated');
    expect(await changes()).toEqual([
      { change: 'removed', path: ['system system', 'disk sda'], from_device: null },
      { change: 'added', path: ['system system', 'disk sda'], from_device: null },
    ]);
    const [notice, ...more] = await notices();
    expect(more).toEqual([]);
    expect(notice?.data).toMatchObject({
      deviceId: device.deviceId,
      count: 2,
      changes: [
        { change: 'removed', kind: 'disk', component: 'sda', serialNumber: `S64-1111 ${serial}` },
        { change: 'added', kind: 'disk', component: 'sda', serialNumber: `S64-2222 ${serial}` },
      ],
    });
    // Nothing new is said, and it is later all the same.
    expect(await report({ uptimeMs: 99_000, components: machine(swapped) })).toBe('new');
    expect(await changes()).toHaveLength(2);
    expect((await current())?.uptime_ms).toBe(99_000);
  });

  it('does not go back for one that comes late', async () => {
    await report({ uptimeMs: 95_000 });
    const now = await current();
    expect(await report({ uptimeMs: 80_000, components: machine(machineWith('sda', null)) })).toBe('late');
    expect(await current()).toEqual(now);
    expect(await changes()).toEqual([]);
    await known(device, 2);
    expect(await report({ start: 2, boot: { id: 'boot-2' }, uptimeMs: 500 })).toBe('new');
    expect(await report({ uptimeMs: 96_000 })).toBe('late');
  });

  it('says from which device a component came', async () => {
    await report();
    const other = await connected();
    const disk = machine().flatMap(({ children = [] }) => children.filter(({ kind }) => kind === 'disk'));
    const own = machineWith('sda', null).map((system) => ({ ...system, serialNumber: 'ACM-9999', children: [] }));
    serial = `${serial} other`;
    await report({ components: machine(own) }, other);
    const [system] = machine(own);
    if (system === undefined) throw new Error('there is no system');
    expect(await report({ uptimeMs: 95_000, components: [{ ...system, children: disk }] }, other)).toBe('new');
    expect(await changes(other)).toEqual([
      { change: 'moved', path: ['system system', 'disk sda'], from_device: device.deviceId },
    ]);
    await other.close();
  });

  /** A device without a disk, and one of its own to put into it: that of the first device. */
  async function withoutDisk() {
    const other = await connected();
    const disk = machine().flatMap(({ children = [] }) => children.filter(({ kind }) => kind === 'disk'));
    const [system] = machine([{ kind: 'system', name: 'system', serialNumber: `ACM-${devices}-other` }]);
    const sent = (uptimeMs: number, has: boolean) =>
      report(
        { uptimeMs, components: [{ ...system, kind: 'system', name: 'system', ...(has && { children: disk }) }] },
        other,
      );
    expect(await sent(90_000, false)).toBe('new');
    return { other, sent };
  }
  const moved = { change: 'moved', path: ['system system', 'disk sda'], from_device: '' };

  it('says so in whichever order the two devices tell of it', async () => {
    const removed = { change: 'removed', path: ['system system', 'disk sda'], from_device: null };
    const from = device.deviceId;
    await report();
    const first = await withoutDisk();
    await report({ uptimeMs: 95_000, components: machine(machineWith('sda', null)) });
    await first.sent(95_000, true);
    expect(await changes(first.other)).toEqual([{ ...moved, from_device: from }]);
    expect(await changes()).toEqual([removed]);
    await first.sent(96_000, false);

    // Back to where it was, and to a third one: the newest place counts, and one's own is none to come from.
    await report({ uptimeMs: 96_000 });
    expect((await changes()).at(-1)).toEqual({ ...moved, from_device: first.other.deviceId });
    await report({ uptimeMs: 97_000, components: machine(machineWith('sda', null)) });
    await report({ uptimeMs: 98_000 });
    expect((await changes()).at(-1)).toEqual({ ...removed, change: 'added' });
    const third = await withoutDisk();
    await third.sent(95_000, true);
    await report({ uptimeMs: 99_000, components: machine(machineWith('sda', null)) });
    expect(await changes(third.other)).toEqual([{ ...moved, from_device: from }]);
    expect((await changes()).at(-1)).toEqual(removed);
    await Promise.all([first.other.close(), third.other.close()]);
  });

  it('does not say so of what another customer took out', async () => {
    await report();
    await report({ uptimeMs: 95_000, components: machine(machineWith('sda', null)) });
    const { other, sent } = await withoutDisk();
    await database.store.transaction(async (sql) => {
      await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
      await sql.query(`INSERT INTO customers (customer_id, name) VALUES ($1, 'Other')`, [`taker-${devices}`]);
      await sql.query('UPDATE devices SET customer_id = $1 WHERE device_id = $2', [`taker-${devices}`, other.deviceId]);
    });
    await sent(95_000, true);
    expect(await changes(other)).toEqual([{ ...moved, change: 'added', from_device: null }]);
    await other.close();
  });

  it('does not say so of a device of another customer', async () => {
    await report();
    const other = await connected();
    await database.store.transaction(async (sql) => {
      await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
      await sql.query(`INSERT INTO customers (customer_id, name) VALUES ($1, 'Other')`, [`other-${devices}`]);
      await sql.query('UPDATE devices SET customer_id = $1 WHERE device_id = $2', [`other-${devices}`, other.deviceId]);
    });
    await report({}, other);
    expect(await changes(other)).toEqual([]);
    await other.close();
  });

  it('wants what a report speaks of and the cloud does not know, and nothing else', async () => {
    const asked = async (sequence: number, inventory?: string) => {
      const nonce = `${NONCE}${sequence}`;
      await device.report({ sequence, ask: nonce, uptimeMs: 60_000 + sequence, ...(inventory && { inventory }) });
      return (await device.answer((answer) => answer.nonce === nonce)).wants;
    };
    const digest = await inventoryDigest(machine());
    expect(await asked(1)).toEqual([]);
    expect(await asked(2, digest)).toEqual(['inventory']);
    await report();
    expect(await asked(3, digest)).toEqual([]);
    expect(await asked(4, await inventoryDigest(machine(machineWith('sda', null))))).toEqual(['inventory']);
    // What an older report says need not be true any more.
    expect(await asked(0, 'A'.repeat(43))).toEqual([]);
  });

  it('refuses what is none, each with its code', async () => {
    const codes = async () =>
      (
        await database.store.query<{ code: string }>(
          'SELECT code FROM rejected_reports WHERE device_id = $1 ORDER BY id',
          [device.deviceId],
        )
      ).map(({ code }) => code);
    const stranger = await makeTestKey();
    const inventory = inventoryOf({ device: device.deviceId });
    const deep = (depth: number): object =>
      depth === 0 ? {} : { kind: 'other', name: 'x', children: [deep(depth - 1)] };
    const sent = [
      ['not a JWS', 'envelope_malformed'],
      [await device.seal(), 'typ_mismatch'],
      [await seal('inventory', inventory, stranger.signing), 'key_unknown'],
      [await seal('inventory', { ...inventory, device: 'kiosk-other' }, device.key.signing), 'device_mismatch'],
      [await seal('inventory', { ...inventory, v: 9 }, device.key.signing), 'version_unsupported'],
      [await seal('inventory', { ...inventory, components: [deep(9)] }, device.key.signing), 'payload_invalid'],
      [await seal('inventory', { ...inventory, components: [deep(40)] }, device.key.signing), 'payload_malformed'],
    ] as const;
    for (const [payload] of sent) expect(await send(payload)).toBe('refused');
    while ((await codes()).length < sent.length) await sleep(20);
    expect(await codes()).toEqual(sent.map(([, code]) => code));
    expect(await current()).toBeUndefined();
  });

  it('refuses a report on the topic of inventories and an inventory on that of reports', async () => {
    const rejected = () => cloud.metrics.of('paddock_reports_rejected_total', 'typ_mismatch');
    const before = rejected();
    await device.publish(await sealed(device, {}));
    while (rejected() === before) await sleep(5);
    expect(await current()).toBeUndefined();
  });

  it('waits for the report that tells of an incarnation', async () => {
    expect(await report({ incarnation: 'BBBBBBBBBBB' })).toBe('early');
    expect(await current()).toBeUndefined();
  });

  it('is not flooded', async () => {
    for (let at = 0; at < 20; at += 1) expect(await report({ uptimeMs: 90_000 + at })).toBe('new');
    expect(await report({ uptimeMs: 91_000 })).toBe('too-often');
    expect((await current())?.uptime_ms).toBe(90_019);
    expect(cloud.metrics.of('paddock_reports_rejected_total', 'inventory_too_often')).toBeGreaterThan(0);
  });

  it('takes every character that JSON can hold, and twins', async () => {
    const twin: Component = { kind: 'usb', name: '🖨 "x" \\ </script> ‮', model: "Robert'); DROP TABLE inventories;--" };
    expect(await report({ components: [twin, twin] as Inventory['components'] })).toBe('new');
    expect(await report({ uptimeMs: 91_000, components: [twin] as Inventory['components'] })).toBe('new');
    expect(await changes()).toEqual([{ change: 'removed', path: [`usb ${twin.name} #2`], from_device: null }]);
  });
});
