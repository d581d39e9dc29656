import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backUp, verifyBackup } from '@paddock/cloud/backup-run.ts';
import { restore } from '@paddock/cloud/restore-run.ts';
import { loadOnlineKey, openDataDir } from '@paddock/cloud/adapters/data-dir.ts';
import { openBulk, openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { sayAlive } from '@paddock/cloud/instances/register.ts';
import { createCustomer } from '@paddock/cloud/customers/customers.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';

const LOCK = { passphrase: 'correct horse battery' };
const quiet = (): undefined => undefined;

let source: FreshDatabase;
let target: FreshDatabase;
let home: string;
let place: { dataDir: string; databaseUrl: string };
let file: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'paddock-backup-'));
  source = await freshDatabase();
  target = await freshDatabase(undefined, { migrated: false });
  place = { dataDir: join(home, 'from'), databaseUrl: source.url };
  file = join(home, 'one.backup');
  await openDataDir(place.dataDir);
  await loadOnlineKey(place.dataDir);
});
afterEach(async () => {
  await source.drop();
  await target.drop();
  await rm(home, { recursive: true });
});

const save = (name = file) => backUp(place, name, { lock: LOCK, replace: false, progress: quiet });
const bring = (options: { replace?: boolean; dataDir?: string; from?: string; url?: string } = {}) =>
  restore(
    { dataDir: options.dataDir ?? join(home, 'to'), databaseUrl: options.url ?? target.url },
    options.from ?? file,
    { open: LOCK, replace: options.replace ?? false, progress: quiet },
  );

/** Every row of every table that is kept, in one order. */
async function contentOf(url: string): Promise<Record<string, string[]>> {
  const store = openPostgres({ url, connections: 1 });
  const tables = await store.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
       AND relname <> ALL ('{migrations,instances,listeners,leases,epochs,audit_log}') ORDER BY 1`,
  );
  const content: Record<string, string[]> = {};
  for (const { name } of tables) {
    const rows = await store.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t ORDER BY 1`);
    content[name] = rows.map(({ row }) => row);
  }
  await store.close();
  return content;
}

/** Rows with everything that COPY has to escape, in tables with triggers, identities, ranges and partitions. */
async function fillSource(): Promise<void> {
  const { store } = source;
  await store.transaction((sql) =>
    createCustomer(sql, ALL_CUSTOMERS, 'test', { customerId: 'acme', name: 'Tab\tBack\\slash "quote" \\N äß🙂' }),
  );
  await store.query(
    `INSERT INTO reports (received_at, device_id, incarnation, start, sequence, boot_id, uptime_ms, segment, trigger,
       latest, basis, digest, envelope)
     SELECT now() - n % 60 * interval '1 hour', 'kiosk-' || n, 'AAAAAAAAAAA', 1, n, 'b', n, 0, 'boot', now(), 'arrival',
       sha256(n::text::bytea), E'a.b\\nc\\\\' || repeat(n::text, n % 300) FROM generate_series(1, 5000) AS n`,
  );
  await store.query(`SELECT nextval('state_revision') FROM generate_series(1, 41)`);
}

it('brings back every row, the keys and the sequences, and opens a new epoch', async () => {
  await fillSource();
  const made = await save();
  expect(made).toMatchObject({ files: 2, fileBytes: (await readFile(file)).length });
  expect(await verifyBackup(file, LOCK, quiet)).toMatchObject({ backupId: made.backupId, bytes: made.bytes });
  const before = await contentOf(source.url);
  const restored = await bring();
  expect(await contentOf(target.url)).toEqual(before);
  expect(before['reports_default']?.length).toBeGreaterThan(0);
  expect(Object.keys(before).filter((name) => /^reports_\d{8}$/.test(name)).length).toBeGreaterThan(1);

  const { store } = target;
  expect(await store.query('SELECT epoch, reason, backup_id FROM epochs ORDER BY epoch')).toEqual([
    { epoch: 0, reason: 'first', backup_id: null },
    { epoch: restored.epoch, reason: 'restore', backup_id: made.backupId },
  ]);
  expect(restored.epoch).toBeGreaterThan(1_700_000_000);
  const [next] = await store.query<{ n: number }>(`SELECT nextval('state_revision') AS n`);
  expect(next?.n).toBeGreaterThan(1_000_000_000);
  // Triggers and identities work as before.
  await store.transaction((sql) => createCustomer(sql, ALL_CUSTOMERS, 'test', { customerId: 'new', name: 'New' }));
  await expect(store.query('DELETE FROM history')).rejects.toMatchObject({ code: 'PDHIS' });
  const told = await store.query<{ entry: string }>('SELECT entry FROM audit_log ORDER BY seq');
  expect(told.map(({ entry }) => (JSON.parse(entry) as { action: string }).action)).toEqual(['restore']);
  const files = ['online.key.pem', 'operator.token'];
  for (const name of files)
    expect(await readFile(join(home, 'to', name))).toEqual(await readFile(join(place.dataDir, name)));
  expect((await readdir(join(home, 'to'))).toSorted()).toEqual(files);
});

it('is of one moment, however much is written meanwhile', async () => {
  await fillSource();
  let writing = true;
  const writer = (async () => {
    for (let n = 0; writing; n += 1)
      await source.store.transaction((sql) =>
        createCustomer(sql, ALL_CUSTOMERS, 'test', { customerId: `c${n}`, name: `C${n}` }),
      );
  })();
  await save();
  writing = false;
  await writer;
  await bring();
  const [counts] = await target.store.query<{ customers: number; history: number }>(
    `SELECT (SELECT count(*) FROM customers) AS customers,
       (SELECT count(*) FROM history WHERE table_name = 'customers' AND operation = 'insert') AS history`,
  );
  expect(counts?.customers).toBe(counts?.history);
});

it('refuses a place that is not empty, a damaged file and a wrong passphrase, and changes nothing', async () => {
  await fillSource();
  await save();
  await expect(save()).rejects.toMatchObject({ code: 'file_exists' });
  const before = await contentOf(source.url);
  await expect(bring({ url: source.url })).rejects.toMatchObject({ code: 'database_not_empty' });
  await expect(bring({ dataDir: place.dataDir })).rejects.toMatchObject({ code: 'data_dir_not_empty' });
  expect(await contentOf(source.url)).toEqual(before);
  const damaged = await readFile(file);
  damaged[damaged.length - 100] = (damaged.at(-100) ?? 0) ^ 1;
  const other = join(home, 'damaged.backup');
  await writeFile(other, damaged);
  await expect(bring({ from: other, url: source.url, replace: true })).rejects.toMatchObject({
    code: 'backup_damaged',
  });
  expect(await contentOf(source.url)).toEqual(before);
  expect(await contentOf(target.url)).toEqual({});
  expect(await readdir(home)).not.toContain('to');
});

it('takes no database from under an instance that runs, not even to replace it', async () => {
  await fillSource();
  await save();
  const before = await contentOf(source.url);
  const instance = { instanceId: randomUUID(), host: 'kiosk-host', version: '0.1.0' };
  const clock = { errorMs: 1, source: 'configured', offset: { lowMs: 0, highMs: 0 }, steps: 0 } as const;
  await sayAlive(source.store, instance, clock);
  const refused = bring({ url: source.url, dataDir: place.dataDir, replace: true });
  await expect(refused).rejects.toMatchObject({
    code: 'instances_running',
    message: expect.stringContaining('kiosk-host'),
  });
  expect(await contentOf(source.url)).toEqual(before);
  await openDataDir(place.dataDir);
  // One that has been silent for long does not run any more.
  await source.store.query("UPDATE instances SET seen_at = seen_at - interval '31 s'");
  await bring({ url: source.url, dataDir: place.dataDir, replace: true });
  expect(await contentOf(source.url)).toEqual(before);
});

it('says in the audit log of the place when a backup or a restore failed, and why', async () => {
  await fillSource();
  await save();
  await expect(save()).rejects.toMatchObject({ code: 'file_exists' });
  await expect(bring({ url: source.url })).rejects.toMatchObject({ code: 'database_not_empty' });
  const told = await source.store.query<{ entry: string }>('SELECT entry FROM audit_log ORDER BY seq');
  expect(told.map(({ entry }) => JSON.parse(entry) as object)).toMatchObject([
    { action: 'backup', result: 'done' },
    { action: 'backup', result: 'failed', code: 'file_exists', actor: expect.stringMatching(/^terminal:/) },
    { action: 'restore', result: 'failed', code: 'database_not_empty', detail: { file } },
  ]);
});

it('replaces when it is told to: the directory is put aside, the database taken away', async () => {
  await fillSource();
  await save();
  const before = await contentOf(source.url);
  await source.store.query(`DELETE FROM reports`);
  await writeFile(join(place.dataDir, 'operator.token'), 'another\n', { mode: 0o600 });
  await bring({ url: source.url, dataDir: place.dataDir, replace: true });
  expect(await contentOf(source.url)).toEqual(before);
  const names = await readdir(place.dataDir);
  const aside = names.find((name) => name.startsWith('.replaced-')) ?? '';
  expect(await readFile(join(place.dataDir, aside, 'operator.token'), 'utf8')).toBe('another\n');
  expect(await readFile(join(place.dataDir, 'operator.token'), 'utf8')).not.toBe('another\n');
});

it('is all or nothing: a restore that breaks leaves an empty database, and can be run again', async () => {
  await fillSource();
  await save();
  const bulk = await openBulk(target.url);
  const broken = restore({ dataDir: join(home, 'to'), databaseUrl: target.url }, file, {
    open: LOCK,
    replace: false,
    progress: (what) => {
      if (what === 'restore table history') throw new Error('power cut');
    },
  });
  await expect(broken).rejects.toThrow('power cut');
  expect(await contentOf(target.url)).toEqual({});
  await expect(openDataDir(join(home, 'to'))).rejects.toMatchObject({ code: 'restore_unfinished' });
  await bring();
  expect(await contentOf(target.url)).toEqual(await contentOf(source.url));
  await openDataDir(join(home, 'to'));
  await bulk.close();
});

it('refuses a backup of a newer version', async () => {
  await source.store.query(`INSERT INTO migrations (number, name, checksum) VALUES (999999, '999999_future', $1)`, [
    randomBytes(32).toString('hex'),
  ]);
  await save();
  await expect(bring()).rejects.toMatchObject({ code: 'backup_newer' });
  expect(await contentOf(target.url)).toEqual({});
});
