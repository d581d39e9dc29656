import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import type { Bulk, Sql } from '../ports.ts';
import { migrate, nextMigration, MigrationError, type Migration } from '../store/migrate.ts';
import { currentEpoch } from '../store/epoch.ts';
import { makePartition } from '../store/partitions.ts';
import type { EntrySource } from './archive.ts';
import { copied, isEmptyDatabase, quoted, type DatabaseHead, type TableHead } from './database.ts';
import { BackupError } from './errors.ts';

/** Revisions that were given out after the backup are never given out again: listeners compare them. */
const REVISIONS_SKIPPED = 1_000_000_000;

/** @throws BackupError `backup_newer`, `backup_malformed` */
export function checkVersions(head: DatabaseHead, migrations: readonly Migration[]): void {
  try {
    nextMigration(migrations, head.migrations);
  } catch (cause) {
    if (!(cause instanceof MigrationError)) throw cause;
    throw new BackupError(cause.code === 'database_newer' ? 'backup_newer' : 'backup_malformed', cause.message, {
      cause,
    });
  }
}

export interface DatabaseRestore {
  readonly bulk: Bulk;
  readonly migrations: readonly Migration[];
  readonly now: WallMs;
  readonly backupId: string;
  /** Takes away what is in the database. */
  readonly replace: boolean;
}

/**
 * A restore is one transaction: all of it or nothing. The schema is made by the migrations that the backup knew, filled,
 * and brought up to date by those that came later.
 */
export class DatabaseWriter {
  readonly #parts: DatabaseRestore;
  readonly #head: DatabaseHead;

  private constructor(parts: DatabaseRestore, head: DatabaseHead) {
    this.#parts = parts;
    this.#head = head;
  }

  /** @throws BackupError `database_not_empty` */
  static async begin(parts: DatabaseRestore, head: DatabaseHead): Promise<DatabaseWriter> {
    const { bulk, migrations, replace } = parts;
    await bulk.query('BEGIN');
    if (!(await isEmptyDatabase(bulk))) {
      if (!replace) throw new BackupError('database_not_empty');
      await bulk.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    }
    const newest = head.migrations.at(-1)?.number ?? 0;
    await migrateWithin(
      bulk,
      migrations.filter(({ number }) => number <= newest),
    );
    for (const { name } of head.tables) await makePartition(bulk, name);
    const names = head.tables.map(({ name }) => quoted(name));
    for (const name of names) await bulk.query(`ALTER TABLE ${name} DISABLE TRIGGER USER`);
    // What the migrations put in: the backup has it, too, as it was then.
    await bulk.query(`TRUNCATE ${names.join(', ')}`);
    return new DatabaseWriter(parts, head);
  }

  async table({ name, data }: EntrySource): Promise<void> {
    const table = this.#head.tables.find((one): one is TableHead => one.name === name);
    if (table === undefined) throw new BackupError('backup_malformed', name);
    await this.#parts.bulk.copyIn(`COPY ${copied(table)} FROM STDIN`, data);
  }

  async sequences(sequences: readonly { readonly name: string; readonly value: number }[]): Promise<void> {
    for (const { name, value } of sequences) {
      const skipped = name === 'state_revision' ? REVISIONS_SKIPPED : 0;
      await this.#parts.bulk.query('SELECT setval($1::regclass, $2)', [quoted(name), value + skipped]);
    }
  }

  /** Opens the new epoch, lets `last` write what belongs to the restore, and commits. @returns the epoch */
  async commit(last: (sql: Sql, epoch: number) => Promise<void>): Promise<number> {
    const { bulk, migrations, now, backupId } = this.#parts;
    for (const { name } of this.#head.tables) await bulk.query(`ALTER TABLE ${quoted(name)} ENABLE TRIGGER USER`);
    await migrateWithin(bulk, migrations);
    const epoch = await openEpoch(bulk, now, backupId);
    await last(bulk, epoch);
    await bulk.query('COMMIT');
    return epoch;
  }
}

/** Each migration is a transaction otherwise; here all of them are a part of one. */
async function migrateWithin(bulk: Bulk, migrations: readonly Migration[]): Promise<void> {
  const within = { ...bulk, transaction: <T>(work: (sql: Sql) => Promise<T>) => work(bulk), listen: neverListens };
  await migrate(within, migrations);
}

const neverListens = (): Promise<never> => Promise.reject(new Error('Nobody listens within a restore'));

/** Versions of desired state are compared within one epoch only. Seconds, so that no two restores open the same. */
async function openEpoch(sql: Sql, now: WallMs, backupId: string): Promise<number> {
  const [row] = await sql.query<{ epoch: number }>(
    `INSERT INTO epochs (epoch, opened_at, reason, backup_id)
     SELECT greatest(max(epoch) + 1, $1::bigint), $2, 'restore', $3 FROM epochs RETURNING epoch`,
    [Math.floor(now / 1000), toInstant(now), backupId],
  );
  return row?.epoch ?? 0;
}

/** Null when the database is not one of this service. */
export async function newestEpoch(sql: Sql): Promise<number | null> {
  const [known] = await sql.query<{ known: boolean }>("SELECT to_regclass('public.epochs') IS NOT NULL AS known");
  return known?.known === true ? currentEpoch(sql) : null;
}
