import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { runElected, takeTurn, type Job } from '@paddock/cloud/instances/elected.ts';
import { fenced, finishLease, takeLease, type Lease } from '@paddock/cloud/instances/lease.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { CountedMetrics } from '../../../harness/ingest.ts';

const log = pino({ level: 'silent' });
const TERMS = { job: 'test', everyMs: 60_000, leaseMs: 30_000 } as const;
const SHORT = { ...TERMS, leaseMs: 600 } as const;

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  await database.store.query('CREATE TABLE written (n serial, by text NOT NULL)');
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.store.query('TRUNCATE leases, written');
  // The first to come makes the row, and asks again.
  expect(await takeLease(database.store, TERMS, 'first')).toEqual({ lease: null, dueInMs: 0 });
});

const take = async (holder: string, terms: typeof TERMS | typeof SHORT = TERMS): Promise<Lease | null> =>
  (await takeLease(database.store, terms, holder)).lease;

async function got(holder: string, terms: typeof TERMS | typeof SHORT = TERMS): Promise<Lease> {
  const lease = await take(holder, terms);
  if (lease === null) throw new Error(`${holder} did not get the lease`);
  return lease;
}

const write = (sql: Sql, by: string) => sql.query('INSERT INTO written (by) VALUES ($1)', [by]);
const written = async () =>
  (await database.store.query<{ by: string }>('SELECT by FROM written ORDER BY n')).map(({ by }) => by);
const until = async (isSo: () => Promise<boolean> | boolean): Promise<void> => {
  while (!(await isSo())) await systemClock.sleep(10);
};

describe('a lease', () => {
  test('is one holder’s until it is given back, and then nobody’s until the job is due', async () => {
    const lease = await got('one');
    expect(await take('two')).toBeNull();
    await finishLease(database.store, lease, TERMS.everyMs);
    expect(await take('two')).toBeNull();
    const turn = await takeLease(database.store, TERMS, 'two');
    if (turn.lease !== null) throw new Error('It was not due');
    expect(turn.dueInMs).toBeGreaterThan(50_000);
    await database.store.query(`UPDATE leases SET due_at = clock_timestamp()`);
    expect((await got('two')).fence).toBeGreaterThan(lease.fence);
  });

  test('of one that died is taken over when it lapses', async () => {
    const { fence } = await got('dead', SHORT);
    let heir: Lease | null = null;
    await until(async () => (heir = await take('heir', SHORT)) !== null);
    expect(heir).toMatchObject({ holder: 'heir', fence: fence + 1 });
  });

  test('is held for no longer than its terms say, although the database’s clock was set back', async () => {
    await got('one');
    await database.store.query(
      `UPDATE leases SET (until, due_at) = (now() + interval '1 day', now() + interval '1 day')`,
    );
    expect(await take('two')).not.toBeNull();
  });

  test('that lapsed lets nothing be written, taken over or not', async () => {
    const lease = await got('slept', SHORT);
    const store = fenced(database.store, lease);
    await store.query('INSERT INTO written (by) VALUES ($1)', ['slept']);
    await systemClock.sleep(SHORT.leaseMs + 50);
    await expect(store.transaction((sql) => write(sql, 'slept'))).rejects.toMatchObject({ code: 'lease_lost' });
    const heir = await got('heir', SHORT);
    await expect(store.query('INSERT INTO written (by) VALUES ($1)', ['slept'])).rejects.toMatchObject({
      code: 'lease_lost',
    });
    await fenced(database.store, heir).transaction((sql) => write(sql, 'heir'));
    // Giving back what is another's by now changes nothing.
    await finishLease(database.store, lease, 0);
    expect(await take('third', SHORT)).toBeNull();
    expect(await written()).toEqual(['slept', 'heir']);
  });

  test('is renewed with every transaction, and nobody’s while one is open', async () => {
    const lease = await got('busy', SHORT);
    const store = fenced(database.store, lease);
    for (let n = 0; n < 4; n += 1) {
      await systemClock.sleep(SHORT.leaseMs / 2);
      await store.transaction((sql) => write(sql, 'busy'));
    }
    await store.transaction(async (sql) => {
      await sql.query(`SELECT pg_sleep(${(SHORT.leaseMs * 2) / 1000})`);
      expect(await take('impatient', SHORT)).toBeNull();
      await write(sql, 'busy');
    });
    expect(await written()).toEqual(Array.from({ length: 5 }, () => 'busy'));
  });

  test('of one that stands still within a transaction ends that, and is taken over', async () => {
    const lease = await got('stopped', SHORT);
    const work = fenced(database.store, lease).transaction(async (sql) => {
      await write(sql, 'stopped');
      await until(async () => (await take('heir', SHORT)) !== null);
      await write(sql, 'stopped');
    });
    await expect(work).rejects.toThrow();
    expect(await written()).toEqual([]);
  });
});

describe('a job that several instances run', () => {
  const parts = (instanceId: string, metrics = new CountedMetrics()) => ({
    store: database.store,
    clock: systemClock,
    metrics,
    log,
    instanceId,
  });

  test('runs at one of them at a time, and once each time it is due', async () => {
    let running = 0;
    let most = 0;
    let turns = 0;
    const stop = new AbortController();
    const job: Job = {
      job: 'test',
      everyMs: 60,
      retryMs: 60,
      leaseMs: 5_000,
      async work(store) {
        running += 1;
        most = Math.max(most, running);
        await store.transaction((sql) => write(sql, 'somebody'));
        await systemClock.sleep(20);
        running -= 1;
        turns += 1;
        if (turns >= 10) stop.abort();
      },
    };
    const metrics = new CountedMetrics();
    await Promise.all(['one', 'two', 'three'].map((id) => runElected(parts(id, metrics), job, stop.signal)));
    expect(most).toBe(1);
    expect(await written()).toHaveLength(turns);
    expect(metrics.of('paddock_jobs_total', 'test done')).toBe(turns);
  });

  test('that fails is tried again by whoever comes first, and said once', async () => {
    const stop = new AbortController();
    const errors: string[] = [];
    let tries = 0;
    const job: Job = {
      job: 'test',
      everyMs: 50,
      retryMs: 50,
      leaseMs: 5_000,
      work: async () => {
        tries += 1;
        if (tries === 5) stop.abort();
        throw new Error('It does not work');
      },
    };
    const loud = pino({ level: 'error' }, { write: (line) => void errors.push(line) });
    await runElected({ ...parts('one'), log: loud }, job, stop.signal);
    expect([tries, errors.length]).toEqual([5, 1]);
    const works = { ...job, work: async () => undefined };
    await until(async () => (await takeTurn(parts('two'), works)).ran);
  });
});
