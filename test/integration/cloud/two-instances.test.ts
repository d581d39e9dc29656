import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { Answers } from '@paddock/cloud/ingest/answer.ts';
import { StoredKeyDirectory } from '@paddock/cloud/ingest/directory.ts';
import { openHere } from '@paddock/cloud/ingest/open-here.ts';
import { Ingest } from '@paddock/cloud/ingest/pipeline.ts';
import { fromMultirange } from '@paddock/cloud/ingest/ranges.ts';
import { Rejections } from '@paddock/cloud/ingest/rejections.ts';
import type { Store } from '@paddock/cloud/ports.ts';
import type { Report } from '@paddock/shared/report.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { CollectedAudit } from '../../harness/audit.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { CountedMetrics } from '../../harness/ingest.ts';
import { makeTestKey, type TestKey } from '../../harness/signing.ts';

/** One instance of the service as ingest knows it: its own connections, its own memory, the common database. */
interface Instance {
  readonly metrics: CountedMetrics;
  take(deviceId: string, envelope: string, receivedAt?: number): Promise<void>;
  close(): Promise<void>;
}

function startInstance(url: string, cloudKey: TestKey): Instance {
  const store: Store = openPostgres({ url, connections: 4 });
  const metrics = new CountedMetrics();
  const log = pino({ level: 'silent' });
  const clock = systemClock;
  const broker = { publish: async () => undefined };
  const rejections = new Rejections({ sql: store, clock, metrics, log, audit: new CollectedAudit() });
  const ingest = new Ingest({
    store,
    keys: new StoredKeyDirectory(store, clock),
    opener: openHere(inflater),
    answers: new Answers({
      broker,
      signing: cloudKey.signing,
      clock,
      metrics,
      log,
      epoch: 7,
      keyList: () => 3,
      desiredVersion: () => 0,
    }),
    rejections,
    clock,
    metrics,
    log,
    errorAt: () => 100,
    // Small batches: many transactions meet.
    limits: { batch: 7 },
  });
  return {
    metrics,
    take: (deviceId, envelope, receivedAt = clock.wall()) =>
      ingest.accept({
        topic: topicOf('report', deviceId),
        payload: Buffer.from(envelope),
        receivedAt: wallMs(receivedAt),
      }),
    close: async () => {
      await ingest.close(60_000);
      await rejections.close();
      await store.close();
    },
  };
}

const DEVICES = 12;
const INCARNATIONS = ['AAAAAAAAAAA', 'BBBBBBBBBBB', 'CCCCCCCCCCC'];
const STARTS = 3;
const SEQUENCES = 8;

/** Everything that a device ever says: lives of one boot each, starts in it, sequences with growing uptime. */
function* lifeOf(): Generator<Partial<Report>> {
  for (const incarnation of INCARNATIONS)
    for (let start = 1; start <= STARTS; start++)
      for (let sequence = 0; sequence < SEQUENCES; sequence++)
        yield {
          incarnation,
          start,
          sequence,
          boot: { id: `boot-${incarnation}` },
          uptimeMs: (start * SEQUENCES + sequence) * 1000,
          ask: 'bm9uY2Utbm9uY2U',
        };
}

/** A shuffle that is the same for every run (Fisher and Yates, with a linear congruential generator). */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  let state = seed;
  for (let at = result.length - 1; at > 0; at--) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const other = state % (at + 1);
    [result[at], result[other]] = [result[other] as T, result[at] as T];
  }
  return result;
}

describe('two instances on one database', () => {
  let database: FreshDatabase;
  let instances: Instance[];

  beforeAll(async () => {
    database = await freshDatabase();
    const cloudKey = await makeTestKey();
    instances = [startInstance(database.url, cloudKey), startInstance(database.url, cloudKey)];
    const sent: { deviceId: string; envelope: string }[] = [];
    for (let n = 0; n < DEVICES; n++) {
      const device = await TestDevice.register(database.store, `kiosk-${n}`, cloudKey);
      for (const fields of lifeOf()) sent.push({ deviceId: device.deviceId, envelope: await device.seal(fields) });
    }
    // Each instance gets everything, twice, in an order of its own.
    await Promise.all(
      instances.map(async (instance, which) => {
        const all = [...shuffled(sent, 1 + which), ...shuffled(sent, 11 + which)];
        for (const [at, { deviceId, envelope }] of all.entries()) {
          void instance.take(deviceId, envelope);
          if (at % 20 === 0) await sleep(1);
        }
      }),
    );
    await Promise.all(instances.map((instance) => instance.close()));
  }, 120_000);
  afterAll(() => database.drop());

  const PER_DEVICE = INCARNATIONS.length * STARTS * SEQUENCES;
  const total = (name: Parameters<CountedMetrics['of']>[0]): number =>
    instances.reduce((sum, { metrics }) => sum + metrics.of(name), 0);

  it('records every report exactly once', async () => {
    const rows = await database.store.query<{ n: number; different: number }>(
      `SELECT count(*) AS n, count(DISTINCT (device_id, incarnation, start, sequence)) AS different FROM reports`,
    );
    expect(rows).toEqual([{ n: DEVICES * PER_DEVICE, different: DEVICES * PER_DEVICE }]);
    expect(total('paddock_reports_recorded_total')).toBe(DEVICES * PER_DEVICE);
    expect(total('paddock_reports_repeated_total')).toBe(3 * DEVICES * PER_DEVICE);
    expect(total('paddock_reports_dropped_total')).toBe(0);
  });

  it('never has two batches wait for each other, however starts appear', async () => {
    const counts = await database.store.query(
      'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(counts).toEqual([{ deadlocks: 0 }]);
  });

  it('knows of every start what is recorded', async () => {
    const starts = await database.store.query<{ recorded: string }>('SELECT recorded::text FROM starts');
    expect(starts).toHaveLength(DEVICES * INCARNATIONS.length * STARTS);
    for (const { recorded } of starts) expect(fromMultirange(recorded)).toEqual([[0, SEQUENCES - 1]]);
  });

  it('numbers the lives of a device without a gap, and ends with the newest state', async () => {
    const lives = await database.store.query<{ device_id: string; ordinals: number[] }>(
      'SELECT device_id, array_agg(ordinal ORDER BY ordinal) AS ordinals FROM incarnations GROUP BY device_id',
    );
    for (const { ordinals } of lives) expect(ordinals).toEqual([1, 2, 3]);
    const states = await database.store.query(
      `SELECT ordinal, start, sequence FROM device_state WHERE (ordinal, start, sequence) <> (3, $1, $2)`,
      [STARTS, SEQUENCES - 1],
    );
    expect(states).toEqual([]);
    const boots = await database.store.query('SELECT FROM boots WHERE (newest_start, newest_sequence) = ($1, $2)', [
      STARTS,
      SEQUENCES - 1,
    ]);
    expect(boots).toHaveLength(DEVICES * INCARNATIONS.length);
  });
});

describe('instances whose clocks differ, or are set back', () => {
  let database: FreshDatabase;
  let instance: Instance;
  let device: TestDevice;
  const now = Date.now();

  beforeAll(async () => {
    database = await freshDatabase();
    const cloudKey = await makeTestKey();
    instance = startInstance(database.url, cloudKey);
    device = await TestDevice.register(database.store, 'kiosk-clock', cloudKey);
  });
  afterAll(async () => {
    await instance.close();
    await database.drop();
  });
  const reaches = async (count: () => number, value: number): Promise<void> => {
    while (count() < value) await sleep(10);
  };
  const recorded = () => instance.metrics.of('paddock_reports_recorded_total');

  it('still find the report that a clone contradicts', async () => {
    await instance.take(device.deviceId, await device.seal({ sequence: 0 }), now);
    await reaches(recorded, 1);
    await instance.take(device.deviceId, await device.seal({ sequence: 1, uptimeMs: 60_001 }), now - 3_600_000);
    await reaches(recorded, 2);
    await instance.take(device.deviceId, await device.seal({ sequence: 1, uptimeMs: 60_002 }), now);
    const conflicts = () => instance.metrics.of('paddock_reports_rejected_total', 'identity_conflict');
    const repeats = () => instance.metrics.of('paddock_reports_repeated_total');
    await reaches(() => conflicts() + repeats(), 1);
    expect([conflicts(), repeats()]).toEqual([1, 0]);
  });

  it('take the newest report for the sign of life, not the latest time that a clock ever said', async () => {
    const ahead = now + 86_400_000;
    await instance.take(device.deviceId, await device.seal({ sequence: 2, uptimeMs: 60_003 }), ahead);
    await reaches(recorded, 3);
    await instance.take(device.deviceId, await device.seal({ sequence: 3, uptimeMs: 60_004 }), now);
    await reaches(recorded, 4);
    const [state] = await database.store.query<{ heard_at: Date }>('SELECT heard_at FROM device_state');
    expect(state?.heard_at.getTime()).toBe(now);
  });
});
