import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sql, Store } from '@paddock/cloud/ports.ts';
import { BOTH_BROKERS, startBroker, type TestBroker } from '../../harness/brokers.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { startIngest, type TestIngest } from '../../harness/ingest.ts';

const NONCE = 'bm9uY2Utbm9uY2U';

/** A store whose database goes away and comes back at the test's word. */
function switchable(store: Store): Store & { away: boolean; defect: boolean; hangs: boolean; slowMs: number } {
  const down = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const self = {
    away: false,
    defect: false,
    hangs: false,
    slowMs: 0,
    query: <Row extends object>(text: string, values?: readonly unknown[]) =>
      self.away ? Promise.reject(down()) : store.query<Row>(text, values),
    transaction: async <T>(work: (sql: Sql) => Promise<T>) => {
      if (self.defect) throw new TypeError('a defect of ours');
      if (self.hangs) return new Promise<T>(() => undefined);
      await sleep(self.slowMs);
      if (self.away) throw down();
      return store.transaction(work);
    },
    listen: store.listen.bind(store),
    close: store.close.bind(store),
  };
  return self;
}

describe.each(BOTH_BROKERS)('ingest in trouble, through %s', (name) => {
  let broker: TestBroker;
  let database: FreshDatabase;
  let store: ReturnType<typeof switchable>;
  let cloud: TestIngest;
  let device: TestDevice;

  beforeEach(async () => {
    database = await freshDatabase();
    store = switchable(database.store);
    broker = await startBroker(name);
    cloud = await startIngest(store, { on: broker, limits: { waiting: 20, holdMs: 300 } });
    device = await TestDevice.register(database.store, 'kiosk-trouble', cloud.cloudKey);
    await device.connect(cloud);
  });
  afterEach(async () => {
    await device.close();
    await cloud.close();
    await broker.stop();
    await database.drop();
  });
  const recorded = async (): Promise<number[]> => {
    const rows = await database.store.query<{ sequence: number }>('SELECT sequence FROM reports ORDER BY sequence');
    return rows.map(({ sequence }) => sequence);
  };

  it('answers nothing while the database is away, and everything when it is back', async () => {
    store.away = true;
    for (let sequence = 0; sequence < 10; sequence++)
      await device.report({ sequence, uptimeMs: 1000 + sequence, ask: NONCE });
    await sleep(300);
    expect(device.answers).toHaveLength(0);
    store.away = false;
    await device.answer(({ recorded: [first] }) => first?.[0] === 0 && first[1] === 9);
    expect(await recorded()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('judges what waits by how wrong the clock was when it stamped that, although it is better now', async () => {
    await device.close();
    await cloud.close();
    let betterFrom = Infinity;
    const errorAt = (stamp: number): number => (stamp < betterFrom ? 5_000 : 10);
    cloud = await startIngest(store, { on: broker, errorAt, cloudKey: cloud.cloudKey });
    await device.connect(cloud);
    store.away = true;
    await device.report({ sequence: 0, uptimeMs: 1000, ask: NONCE });
    await sleep(200);
    betterFrom = Date.now();
    store.away = false;
    await device.answer(({ recorded: [first] }) => first?.[1] === 0);
    await device.report({ sequence: 1, uptimeMs: 60_000, ask: NONCE });
    await device.answer(({ recorded: [first] }) => first?.[1] === 1);
    const rows = await database.store.query<{ width: number }>(
      `SELECT extract(epoch FROM latest - received_at)::double precision * 1000 AS width FROM reports ORDER BY sequence`,
    );
    expect(rows.map(({ width }) => Math.round(width / 1000))).toEqual([5, 0]);
  });

  it('holds acknowledgements when it is full, lets go in the end, and takes what is sent again', async () => {
    store.away = true;
    const sent = await Promise.all(
      Array.from({ length: 30 }, (_, sequence) => device.seal({ sequence, uptimeMs: 1000 + sequence, ask: NONCE })),
    );
    await Promise.all(sent.map((envelope) => device.publish(envelope)));
    // Another broker acknowledges before the service has judged.
    await expect.poll(() => cloud.metrics.of('paddock_reports_dropped_total'), { timeout: 20_000 }).toBe(10);
    store.away = false;
    await device.answer(({ recorded: [first] }) => first?.[0] === 0 && first[1] === 19);
    for (const envelope of sent) await device.publish(envelope);
    await device.answer(({ recorded: [first] }) => first?.[0] === 0 && first[1] === 29);
    expect(await recorded()).toEqual(sent.map((_, sequence) => sequence));
  });

  it('takes in what it held as soon as there is room, and lets nothing of it go', async () => {
    await device.close();
    await cloud.close();
    cloud = await startIngest(store, { on: broker, limits: { waiting: 5, holdMs: 60_000 }, cloudKey: cloud.cloudKey });
    await device.connect(cloud);
    store.away = true;
    const sent = await Promise.all(
      Array.from({ length: 30 }, (_, sequence) => device.seal({ sequence, uptimeMs: 1000 + sequence, ask: NONCE })),
    );
    const acknowledged = Promise.all(sent.map((envelope) => device.publish(envelope)));
    await sleep(300);
    store.away = false;
    await acknowledged;
    await device.answer(({ recorded: [first] }) => first?.[0] === 0 && first[1] === 29);
    expect(cloud.metrics.of('paddock_reports_dropped_total')).toBe(0);
  });

  it('counts what payloads take once they are inflated, not what they took on the wire', async () => {
    await device.close();
    await cloud.close();
    cloud = await startIngest(store, {
      on: broker,
      limits: { waitingBytes: 300_000, holdMs: 100 },
      cloudKey: cloud.cloudKey,
    });
    await device.connect(cloud);
    // Its key is known from here on: without the database nothing else could be inflated.
    await device.report({ sequence: 0, uptimeMs: 1000, ask: NONCE });
    await device.answer(({ nonce }) => nonce === NONCE);
    store.away = true;
    const padded = { more: 'a'.repeat(100_000) };
    const sent = await Promise.all(
      Array.from({ length: 6 }, (_, sequence) =>
        device.seal({ sequence: sequence + 1, uptimeMs: 2000 + sequence, ask: NONCE, ...padded }),
      ),
    );
    expect(Math.max(...sent.map((envelope) => envelope.length))).toBeLessThan(2000);
    for (const envelope of sent) {
      await device.publish(envelope);
      await sleep(50);
    }
    await expect.poll(() => cloud.metrics.of('paddock_reports_dropped_total'), { timeout: 20_000 }).toBe(3);
    store.away = false;
    for (const envelope of sent) await device.publish(envelope);
    await device.answer(({ recorded: [first] }) => first?.[0] === 0 && first[1] === 6);
  });

  it('lets a report go unanswered for a defect of its own, never refuses it for that', async () => {
    store.defect = true;
    const envelope = await device.report({ ask: NONCE });
    while (cloud.metrics.of('paddock_reports_dropped_total') === 0) await sleep(10);
    expect(device.answers).toHaveLength(0);
    store.defect = false;
    await device.publish(envelope);
    const answer = await device.answer(({ nonce }) => nonce === NONCE);
    expect(answer).toMatchObject({ recorded: [[0, 0]], rejected: [] });
  });

  it('closes under load: takes nothing more in, records what it has, and has answered it', async () => {
    store.slowMs = 100;
    const load = new AbortController();
    const sending = (async () => {
      for (let sequence = 0; !load.signal.aborted; sequence++)
        await device.report({ sequence, uptimeMs: 1000 + sequence, ask: NONCE });
    })();
    await device.answer(() => true);
    // Were anything still taken in, something would always be waiting.
    await cloud.ingest.close(60_000);
    const sequences = await recorded();
    await sleep(300);
    expect(await recorded()).toEqual(sequences);
    const answered = new Set(device.answers.map(({ digest }) => digest));
    expect(answered.size).toBe(sequences.length);
    load.abort();
    await sending;
  });

  it('closes although the database hangs, and answers nothing', async () => {
    store.hangs = true;
    await device.report({ ask: NONCE });
    await cloud.ingest.close(100);
    expect(device.answers).toEqual([]);
    expect(await recorded()).toEqual([]);
  });
});
