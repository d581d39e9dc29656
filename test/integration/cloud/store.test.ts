import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMigrations } from '@paddock/cloud/adapters/migration-files.ts';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import { actAs } from '@paddock/cloud/customers/scope.ts';
import { migrate } from '@paddock/cloud/store/migrate.ts';
import { keepPartitions, keepPartitionsAtStart, partitionOf } from '@paddock/cloud/store/partitions.ts';
import { fromInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { serverByAddress } from '../../harness/database-by-address.ts';
import { freshDatabase, type FreshDatabase, type Server, startServer } from '../../harness/database.ts';

const SERVERS = [
  ['embedded', startServer],
  ['given by address', async () => (await serverByAddress()) ?? startServer()],
] as const;

async function eventually(look: () => void | Promise<void>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await look();
    } catch (error) {
      if (tries > 200) throw error;
      await sleep(25);
    }
  }
}

describe.each(SERVERS)('the store on a PostgreSQL %s', (_, start) => {
  let server: Server;
  let database: FreshDatabase;
  beforeAll(async () => {
    server = await start();
    database = await freshDatabase(server);
  });
  afterAll(async () => {
    await database.drop();
    await server.stop();
  });

  test('gives int8 as numbers, timestamptz as dates, jsonb parsed', async () => {
    const { store } = database;
    const [row] = await store.query(
      `SELECT $1::int8 AS big, ARRAY[1, NULL, 3]::int8[] AS list, '{"a": [1]}'::jsonb AS json, $2::timestamptz AS at`,
      [Number.MAX_SAFE_INTEGER, new Date(5)],
    );
    expect(row).toEqual({ big: Number.MAX_SAFE_INTEGER, list: [1, null, 3], json: { a: [1] }, at: new Date(5) });
    await expect(store.query('SELECT 9007199254740993::int8')).rejects.toThrow(RangeError);
    expect(await store.query('SELECT 1 AS still')).toEqual([{ still: 1 }]);
  });

  test('commits what resolves and rolls back what rejects', async () => {
    const { store } = database;
    await store.query('CREATE TABLE things (id integer PRIMARY KEY)');
    expect(await store.transaction((sql) => sql.query('INSERT INTO things VALUES (1) RETURNING id'))).toEqual([
      { id: 1 },
    ]);
    const failing = store.transaction(async (sql) => {
      await sql.query('INSERT INTO things VALUES (2)');
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await store.query('SELECT id FROM things')).toEqual([{ id: 1 }]);
  });

  test('never takes a transaction for committed whose failed statement was hidden', async () => {
    const hiding = database.store.transaction(async (sql) => {
      await sql.query('SELECT 1/0').catch(() => undefined);
    });
    await expect(hiding).rejects.toThrow('rolled back');
  });

  test('goes on hearing when a listener fails at what it hears', async () => {
    const { store } = database;
    const heard: string[] = [];
    const stop = await store.listen('fragile', (payload) => {
      heard.push(payload);
      JSON.parse(payload);
    });
    await store.query(`SELECT pg_notify('fragile', 'not JSON'), pg_notify('fragile', '{}')`);
    await eventually(async () => {
      expect(heard).toEqual(['not JSON', '{}']);
    });
    await stop();
  });

  test('survives a connection that the server ends inside a transaction', async () => {
    const { store } = database;
    const ended = store.transaction(async (sql) => {
      await sql.query('SELECT pg_terminate_backend(pg_backend_pid())');
    });
    await expect(ended).rejects.toThrow(/terminat/);
    expect(await store.query('SELECT 1 AS still')).toEqual([{ still: 1 }]);
  });

  test('hears notifications, over a lost connection too, and says that some may be missed', async () => {
    const { store } = database;
    const heard: string[] = [];
    let missed = 0;
    const stop = await store.listen(
      'a_channel',
      (payload) => heard.push(payload),
      () => (missed += 1),
    );
    await store.query(`SELECT pg_notify('a_channel', 'before')`);
    await eventually(() => expect(heard).toEqual(['before']));
    await store.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`,
    );
    await eventually(() => expect(missed).toBe(1));
    await store.query(`SELECT pg_notify('a_channel', 'after')`);
    await eventually(() => expect(heard).toEqual(['before', 'after']));
    await stop();
    await store.query(`SELECT pg_notify('a_channel', 'unheard')`);
    await sleep(50);
    expect(heard).toHaveLength(2);
  });

  test('is migrated by several instances at once, each migration once', async () => {
    const fresh = await freshDatabase(server, { migrated: false });
    const others = [1, 2].map(() => openPostgres({ url: fresh.url, connections: 1 }));
    const migrations = await readMigrations();
    const ran = await Promise.all([fresh.store, ...others].map((store) => migrate(store, migrations)));
    expect(ran.flat().toSorted()).toEqual(migrations.map(({ name }) => name));
    expect(await migrate(fresh.store, migrations)).toEqual([]);
    const changed = migrations.map((file) => ({ ...file, checksum: `${file.checksum}0` }));
    await expect(migrate(fresh.store, changed)).rejects.toMatchObject({ code: 'migration_changed' });
    await expect(migrate(fresh.store, migrations.slice(0, 1))).rejects.toMatchObject({ code: 'database_newer' });
    await Promise.all(others.map((store) => store.close()));
    await fresh.drop();
  });

  test('leaves nothing of a migration that fails half-way', async () => {
    const fresh = await freshDatabase(server, { migrated: false });
    const broken = { number: 1, name: '000001_broken', sql: 'CREATE TABLE half (id int); SELECT 1/0', checksum: 'c' };
    await expect(migrate(fresh.store, [broken])).rejects.toThrow('division by zero');
    expect(await fresh.store.query(`SELECT to_regclass('half') AS half`)).toEqual([{ half: null }]);
    await fresh.drop();
  });

  test.each(['customers', 'sites', 'models', 'devices', 'device_keys', 'api_tokens'])(
    'refuses a write to %s without an actor, in bulk too',
    async (table) => {
      const { store } = database;
      await store.transaction(async (sql) => {
        await actAs(sql, 'tester');
        await sql.query(INSERTS);
      });
      const columns = {
        customers: 'name',
        sites: 'name',
        models: 'name',
        devices: 'name',
        device_keys: 'key_id',
        api_tokens: 'name',
      };
      const column = columns[table as keyof typeof columns];
      await expect(store.query(`UPDATE ${table} SET ${column} = ${column}`)).rejects.toMatchObject({ code: 'PDACT' });
      // Whatever refuses it first: another table that refers to the row, or the history.
      await expect(store.query(`DELETE FROM ${table}`)).rejects.toThrow(/violates foreign key|needs an actor/);
      await expect(store.query(`TRUNCATE ${table} CASCADE`)).rejects.toMatchObject({ code: 'PDHIS' });
    },
  );

  test('keeps a history that says who, and that nobody can rewrite', async () => {
    const { store } = database;
    await store.transaction(async (sql) => {
      await actAs(sql, 'token:alice');
      await sql.query(`INSERT INTO customers (customer_id, name) VALUES ('told', 'Told')`);
      await sql.query(`UPDATE customers SET name = 'Retold' WHERE customer_id = 'told'`);
    });
    expect(
      await store.query(
        `SELECT actor, operation, before ->> 'name' AS before, after ->> 'name' AS after FROM history WHERE row_id = 'told' ORDER BY id`,
      ),
    ).toEqual([
      { actor: 'token:alice', operation: 'insert', before: null, after: 'Told' },
      { actor: 'token:alice', operation: 'update', before: 'Told', after: 'Retold' },
    ]);
    await expect(store.query(`UPDATE history SET actor = 'nobody'`)).rejects.toMatchObject({ code: 'PDHIS' });
    await expect(store.query('DELETE FROM history')).rejects.toMatchObject({ code: 'PDHIS' });
    expect(await store.query(`SELECT 1 FROM history WHERE before ? 'hash' OR after ? 'hash'`)).toEqual([]);
  });

  test('makes partitions ahead, moves what waited in the default one, drops what is past its time', async () => {
    const fresh = await freshDatabase(server, { migrated: false });
    const { store } = fresh;
    await migrate(store, await readMigrations());
    const noon = fromInstant('2026-03-10T12:00:00.000Z');
    const policy = { retentionDays: 3, aheadDays: 1 };
    await keepPartitions(store, fromInstant('2020-01-01T00:00:00.000Z'), policy);
    for (const days of [-2, 0, 1, 300]) await store.query(INSERT_REPORT, [new Date(noon + days * 86_400_000)]);
    const first = await Promise.all([keepPartitions(store, noon, policy), keepPartitions(store, noon, policy)]);
    expect(first.flatMap(({ created }) => created).toSorted()).toEqual([
      'reports_20260309',
      'reports_20260310',
      'reports_20260311',
    ]);
    expect(await homes(store)).toEqual(['reports_20260310', 'reports_20260311', 'reports_default', 'reports_default']);
    expect(await keepPartitions(store, noon, policy)).toEqual({ created: [], dropped: [] });

    const later = wallMs(noon + 4 * 86_400_000);
    const { dropped } = await keepPartitions(store, later, policy);
    expect(dropped).toContain('reports_20260310');
    expect(dropped).not.toContain('reports_20260311');
    expect(await homes(store)).toEqual(['reports_20260311', 'reports_default']);
    expect(await keepPartitions(store, wallMs(noon + 9_999 * 86_400_000), { retentionDays: 0 })).toMatchObject({
      dropped: [],
    });
    await fresh.drop();
  });

  test('starts although a query holds the lock of the archive, as long as reports have a place', async () => {
    const fresh = await freshDatabase(server, { migrated: false });
    const { store } = fresh;
    await migrate(store, await readMigrations());
    const policy = { retentionDays: 0 };
    const failures: unknown[] = [];
    const start = (day: string) =>
      keepPartitionsAtStart(store, fromInstant(`${day}T12:00:00.000Z`), policy, (error) => failures.push(error));
    const whileHeld = (lock: string, work: () => Promise<void>) =>
      store.transaction(async (sql) => {
        await sql.query(lock);
        await work();
      });
    await whileHeld('LOCK TABLE reports IN ACCESS SHARE MODE', () => expect(start('2026-03-10')).rejects.toThrow());
    await start('2026-03-10');
    expect(failures).toEqual([]);
    await whileHeld('LOCK TABLE reports_default IN ACCESS SHARE MODE', () => start('2026-09-10'));
    expect(failures).toHaveLength(1);
    await fresh.drop();
  }, 20_000);

  test('takes a report of any time before any partition of its day was made', async () => {
    const moments: WallMs[] = [fromInstant('1999-12-31T23:59:59.999Z'), fromInstant('2101-01-01T00:00:00.000Z')];
    for (const moment of moments) await database.store.query(INSERT_REPORT, [new Date(moment)]);
    const rows = await database.store.query('SELECT received_at FROM reports ORDER BY 1');
    expect(rows).toEqual(moments.map((moment) => ({ received_at: new Date(moment) })));
    expect(moments.map((moment) => partitionOf(moment).name)).toEqual(['reports_19991231', 'reports_21010101']);
  });
});

const INSERTS = `
  INSERT INTO customers (customer_id, name) VALUES ('h', 'h-1') ON CONFLICT DO NOTHING;
  INSERT INTO sites (site_id, customer_id, name) VALUES ('h', 'h', 'h-1') ON CONFLICT DO NOTHING;
  INSERT INTO models (model_id, manufacturer, name) VALUES ('h', 'm', 'h-1') ON CONFLICT DO NOTHING;
  INSERT INTO devices (device_id, customer_id, name) VALUES ('hhh', 'h', 'h-1') ON CONFLICT DO NOTHING;
  INSERT INTO device_keys (thumbprint, device_id, key_id, jwk) VALUES ('h', 'hhh', 'h-1', '{}') ON CONFLICT DO NOTHING;
  INSERT INTO api_tokens (token_id, name, hash) VALUES ('h', 'h-1', 'h') ON CONFLICT DO NOTHING;`;

const INSERT_REPORT = `
  INSERT INTO reports (received_at, device_id, incarnation, start, sequence, boot_id, uptime_ms, segment, trigger, latest, basis, digest, envelope)
  VALUES ($1, 'kiosk-1', 'i', 1, 0, 'b', 1, 0, 'boot', $1, 'arrival', '', '')`;

async function homes(store: FreshDatabase['store']): Promise<unknown[]> {
  const rows = await store.query<{ home: string }>(
    'SELECT tableoid::regclass::text AS home FROM reports ORDER BY received_at, 1',
  );
  return rows.map(({ home }) => home).toSorted();
}
