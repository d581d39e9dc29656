import { mkdir, rename, rm, rmdir, writeFile, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { toInstant } from '@paddock/shared/time.ts';
import { entriesOf, makeDirectories, readPieces, syncDirectory, writeWhole } from './adapters/backup-files.ts';
import { keptDatabasePassword, readDatabasePassword, RESTORING } from './adapters/data-dir.ts';
import { startEmbeddedPostgres } from './adapters/embedded-postgres.ts';
import { readMigrations } from './adapters/migration-files.ts';
import { openBulk } from './adapters/postgres.ts';
import { systemClock } from './adapters/system-clock.ts';
import { unpack, type EntrySource } from './backup/archive.ts';
import { isEmptyDatabase } from './backup/database.ts';
import { BackupError } from './backup/errors.ts';
import type { OpenWith } from './backup/keys.ts';
import { checkVersions, DatabaseWriter, newestEpoch } from './backup/restore.ts';
import { unseal } from './backup/sealing.ts';
import { verifyBackup, type BackupHead, type Progress } from './backup-run.ts';
import { runningInstances } from './instances/register.ts';
import type { BackupPlace } from './own-database.ts';
import type { Bulk, Sql } from './ports.ts';
import { tell, terminalEntry, toldWhenFailed } from './terminal-audit.ts';

export interface RestoreOptions {
  readonly open: OpenWith;
  /** Puts aside what is in the data directory, and takes away what is in a database by address. */
  readonly replace: boolean;
  readonly progress: Progress;
}

export interface RestoreSummary {
  readonly backupId: string;
  /** What happened after this moment is not in it. */
  readonly createdAt: string;
  readonly epoch: number;
  readonly dataDir: string;
}

/**
 * Says that everything in `.restoring` is whole, and which epoch the database has then. For a database by address it is
 * written right before the commit, and believed when that database has that epoch.
 */
const COMPLETE = 'COMPLETE';
const FILE_NAME = /^(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)*$/;

/**
 * Verifies the whole backup, then restores it: the database in one transaction, everything else in a directory of its
 * own that is moved into place at the end. Broken off anywhere, it leaves the place as it was, or is finished by running
 * it again; the service does not start in between.
 * @throws BackupError
 */
export const restore = (place: BackupPlace, file: string, options: RestoreOptions): Promise<RestoreSummary> =>
  toldWhenFailed(place, { action: 'restore', detail: { file: resolve(file) } }, () => bring(place, file, options));

async function bring(place: BackupPlace, file: string, options: RestoreOptions): Promise<RestoreSummary> {
  const dataDir = resolve(place.dataDir);
  const staging = join(dataDir, RESTORING);
  const { head } = await verifyBackup(file, options.open, (what, bytes) => options.progress(`verify ${what}`, bytes));
  const migrations = await readMigrations();
  checkVersions(head.database, migrations);
  let epoch = await completeEpoch(place, staging, head);
  if (epoch === null) {
    await checkPlace(place, dataDir, options.replace);
    await rm(staging, { recursive: true, force: true });
    await makeDirectories(dataDir, staging);
    epoch = await fill(place, staging, file, head, options);
    await markComplete(staging, head, epoch);
  }
  await putInPlace(dataDir, staging, options.replace);
  return { backupId: head.backupId, createdAt: head.createdAt, epoch, dataDir };
}

async function markComplete(staging: string, { backupId }: BackupHead, epoch: number): Promise<void> {
  await writeFile(join(staging, COMPLETE), JSON.stringify({ backupId, epoch }), { flush: true });
  await syncDirectory(staging);
}

/** Of a restore of this backup of which only moving is left; null otherwise. */
async function completeEpoch(
  { databaseUrl }: BackupPlace,
  staging: string,
  { backupId }: BackupHead,
): Promise<number | null> {
  const text = await readFile(join(staging, COMPLETE), 'utf8').catch(() => null);
  if (text === null) return null;
  const complete = JSON.parse(text) as { backupId: string; epoch: number };
  if (complete.backupId !== backupId) return null;
  if (databaseUrl === null) return complete.epoch;
  return (await asked(databaseUrl, newestEpoch)) === complete.epoch ? complete.epoch : null;
}

async function asked<T>(url: string, question: (sql: Sql) => Promise<T>): Promise<T> {
  const bulk = await openBulk(url);
  try {
    return await question(bulk);
  } finally {
    await bulk.close();
  }
}

/** Before anything is changed. A private database that runs is found by its lock, instances on another one by what they say. */
async function checkPlace({ databaseUrl }: BackupPlace, dataDir: string, replace: boolean): Promise<void> {
  const found = await entriesOf(dataDir);
  if (found.length > 0 && !replace) throw new BackupError('data_dir_not_empty', dataDir);
  const password = found.includes('postgres') ? await readDatabasePassword(dataDir) : null;
  if (password !== null) await (await startEmbeddedPostgres({ dataDir, password })).stop();
  if (databaseUrl === null) return;
  if (!replace && !(await asked(databaseUrl, isEmptyDatabase))) throw new BackupError('database_not_empty');
  const running = await asked(databaseUrl, runningInstances);
  if (running.length > 0) throw new BackupError('instances_running', running.join(', '));
}

/** @returns the epoch that was opened */
async function fill(
  { databaseUrl }: BackupPlace,
  staging: string,
  file: string,
  head: BackupHead,
  options: RestoreOptions,
): Promise<number> {
  await using started = new AsyncDisposableStack();
  let url = databaseUrl;
  if (url === null) {
    const password = await keptDatabasePassword(staging);
    const embedded = await startEmbeddedPostgres({ dataDir: staging, password });
    started.defer(() => embedded.stop());
    ({ url } = embedded);
  }
  const bulk = await openBulk(url);
  started.defer(() => bulk.close());
  const parts = { bulk, migrations: await readMigrations(), now: systemClock.wall(), backupId: head.backupId };
  const database = await DatabaseWriter.begin({ ...parts, replace: options.replace }, head.database);
  for await (const entry of unpack(unseal(readPieces(file), options.open)))
    await place(entry, staging, database, (bytes) => options.progress(`restore ${entry.kind} ${entry.name}`, bytes));
  const told = { backupId: head.backupId, backupOf: head.createdAt, version: head.version };
  const epoch = await database.commit(async (sql, opened) => {
    await tell(sql, terminalEntry('restore', told));
    if (databaseUrl !== null) await markComplete(staging, head, opened);
  });
  await analyse(bulk);
  return epoch;
}

/** Without statistics the first questions to a large archive would be answered slowly. */
const analyse = (bulk: Bulk): Promise<unknown> => bulk.query('ANALYZE');

async function place(
  entry: EntrySource,
  staging: string,
  database: DatabaseWriter,
  progress: (bytes: number) => void,
): Promise<void> {
  const data = counted(entry.data, progress);
  if (entry.kind === 'file') return void (await writeWhole(fileIn(staging, entry.name), data, true));
  if (entry.kind === 'table') return database.table({ ...entry, data });
  const parts: Uint8Array[] = [];
  for await (const piece of data) if (entry.kind === 'sequences') parts.push(piece);
  if (entry.kind === 'sequences')
    await database.sequences(JSON.parse(Buffer.concat(parts).toString()) as { name: string; value: number }[]);
}

async function* counted(
  data: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of data) {
    progress(piece.byteLength);
    yield piece;
  }
}

/** Nothing of an archive is written outside of the directory, and nothing over the database. */
function fileIn(staging: string, name: string): string {
  if (!FILE_NAME.test(name) || /^(postgres|COMPLETE$)/.test(name)) throw new BackupError('backup_malformed', name);
  return join(staging, name);
}

/** The database comes last: with it the place is whole. Each step may have been done by a run before. */
async function putInPlace(dataDir: string, staging: string, replace: boolean): Promise<void> {
  const names = (await entriesOf(staging)).filter((name) => name !== COMPLETE);
  const present = await entriesOf(dataDir);
  const moved = names.filter((name) => present.includes(name));
  if (replace && moved.length > 0) {
    const aside = join(dataDir, `.replaced-${toInstant(systemClock.wall()).replaceAll(':', '')}`);
    await mkdir(aside, { mode: 0o700 });
    for (const name of present) await rename(join(dataDir, name), join(aside, name));
  }
  for (const name of names.toSorted((a, b) => Number(a === 'postgres') - Number(b === 'postgres')))
    await rename(join(staging, name), join(dataDir, name));
  await syncDirectory(dataDir);
  await rm(join(staging, COMPLETE), { force: true });
  await rmdir(staging);
  await syncDirectory(dirname(dataDir));
}
