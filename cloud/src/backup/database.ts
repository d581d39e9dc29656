import type { AppliedMigration } from '../store/migrate.ts';
import type { Bulk, Sql } from '../ports.ts';
import type { EntrySource } from './archive.ts';

/** A table as it is copied: its own columns, in order; generated ones make themselves. */
export interface TableHead {
  readonly name: string;
  readonly columns: readonly string[];
}

/** What a restore has to know before the first row. */
export interface DatabaseHead {
  readonly migrations: readonly AppliedMigration[];
  /** Those that others refer to come first. */
  readonly tables: readonly TableHead[];
  /** Rows that the database expects, as its statistics say: for the progress. */
  readonly estimatedRows: number;
}

/** Made anew by the migrations, or true of processes that run now and not of those after a restore. */
const LEFT_OUT = ['migrations', 'instances', 'listeners', 'leases'];

const TABLES = `
  SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows, array(
    SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
    array(
      SELECT DISTINCT f.confrelid::regclass::text FROM pg_constraint f
      WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid) AS "refersTo"
  FROM pg_class c
  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> ALL ($1)
  ORDER BY c.relname`;

interface TableRow {
  readonly name: string;
  readonly rows: number;
  readonly columns: string[];
  readonly refersTo: string[];
}

/**
 * Opens a snapshot of the whole database: everything that is copied afterwards is of this one moment, whatever the
 * service does meanwhile. Tables are locked against being dropped only.
 */
export async function openSnapshot(bulk: Bulk): Promise<DatabaseHead> {
  await bulk.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const rows = await bulk.query<TableRow & Record<string, unknown>>(TABLES, [LEFT_OUT]);
  const tables = referredFirst(rows);
  await bulk.query(`LOCK TABLE ${tables.map(({ name }) => quoted(name)).join(', ')} IN ACCESS SHARE MODE`);
  const migrations = await bulk.query<AppliedMigration & Record<string, unknown>>(
    'SELECT number, name, checksum FROM migrations ORDER BY number',
  );
  return {
    migrations,
    tables: tables.map(({ name, columns }) => ({ name, columns })),
    estimatedRows: rows.reduce((sum, { rows: count }) => sum + count, 0),
  };
}

/** Every table of the snapshot, row by row, and then where the sequences stand: no less than what the rows hold. */
export async function* tableEntries(bulk: Bulk, { tables }: DatabaseHead): AsyncGenerator<EntrySource> {
  for (const table of tables)
    yield { kind: 'table', name: table.name, data: bulk.copyOut(`COPY ${copied(table)} TO STDOUT`) };
  const sequences = await bulk.query(
    `SELECT sequencename AS name, last_value AS value FROM pg_sequences
     WHERE schemaname = 'public' AND last_value IS NOT NULL ORDER BY 1`,
  );
  await bulk.query('COMMIT');
  yield { kind: 'sequences', name: 'sequences', data: once(Buffer.from(JSON.stringify(sequences))) };
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Puts tables behind those that they refer to. They never refer to each other in a circle. */
function referredFirst(tables: readonly TableRow[]): TableRow[] {
  const ordered: TableRow[] = [];
  const names = new Set(tables.map(({ name }) => name));
  while (ordered.length < tables.length) {
    const done = new Set(ordered.map(({ name }) => name));
    const ready = tables.filter(
      ({ name, refersTo }) => !done.has(name) && refersTo.every((other) => done.has(other) || !names.has(other)),
    );
    if (ready.length === 0) throw new Error('The tables of the database refer to each other in a circle');
    ordered.push(...ready);
  }
  return ordered;
}

/** Names come out of a catalogue or an archive that proved authentic, and are quoted all the same. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const copied = ({ name, columns }: TableHead): string => `${quoted(name)} (${columns.map(quoted).join(', ')})`;

/** Whether nothing is in the database that a restore would have to take away. */
export async function isEmptyDatabase(sql: Sql): Promise<boolean> {
  const [row] = await sql.query<{ tables: number }>(
    "SELECT count(*) AS tables FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S', 'v')",
  );
  return row?.tables === 0;
}
