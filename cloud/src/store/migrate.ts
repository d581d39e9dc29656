import type { Sql, Store } from '../ports.ts';

export interface Migration {
  readonly number: number;
  /** The file's name without its ending. */
  readonly name: string;
  /** One or more statements, run in one transaction with the record of it. */
  readonly sql: string;
  /** SHA-256 of the file, hex: a migration that ran never changes. */
  readonly checksum: string;
}

export type AppliedMigration = Pick<Migration, 'number' | 'name' | 'checksum'>;

export const MIGRATION_ERRORS = {
  migration_changed: 'A migration that ran before has another content or name now',
  migration_out_of_order: 'A migration was added behind one that ran before',
  database_newer: 'The database was migrated by a newer version of this service',
} as const satisfies Record<string, string>;

export class MigrationError extends Error {
  override readonly name = 'MigrationError';
  readonly code: keyof typeof MIGRATION_ERRORS;
  constructor(code: MigrationError['code'], detail: string) {
    super(`${MIGRATION_ERRORS[code]}: ${detail}`);
    this.code = code;
  }
}

/** Any fixed number: the advisory lock that all instances take for a migration. */
const LOCK = 7_233_625;

/**
 * Which migration runs next, or null when all ran.
 * @throws MigrationError when the database and the files do not belong together
 */
export function nextMigration(
  migrations: readonly Migration[],
  applied: readonly AppliedMigration[],
): Migration | null {
  const newest = migrations.at(-1)?.number ?? 0;
  for (const record of applied) {
    if (record.number > newest) throw new MigrationError('database_newer', record.name);
    const file = migrations.find(({ number }) => number === record.number);
    if (file?.checksum !== record.checksum || file.name !== record.name)
      throw new MigrationError('migration_changed', record.name);
  }
  const reached = Math.max(0, ...applied.map(({ number }) => number));
  const next = migrations.find(({ number }) => !applied.some((record) => record.number === number));
  if (next && next.number < reached) throw new MigrationError('migration_out_of_order', next.name);
  return next ?? null;
}

/**
 * Brings the database to the newest version. Several instances may do so at once: each migration takes the lock,
 * looks again, and runs in one transaction with its record.
 * @returns the names of the migrations that this call ran
 * @throws MigrationError
 */
export async function migrate(store: Store, migrations: readonly Migration[]): Promise<string[]> {
  const ran: string[] = [];
  for (;;) {
    const name = await store.transaction((sql) => migrateOnce(sql, migrations));
    if (name === null) return ran;
    ran.push(name);
  }
}

async function migrateOnce(sql: Sql, migrations: readonly Migration[]): Promise<string | null> {
  await sql.query("SELECT set_config('statement_timeout', '0', true), pg_advisory_xact_lock($1)", [LOCK]);
  await sql.query(`CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz(3) NOT NULL DEFAULT now())`);
  const applied = await sql.query<AppliedMigration>('SELECT number, name, checksum FROM migrations ORDER BY number');
  const next = nextMigration(migrations, applied);
  if (next === null) return null;
  await sql.query(next.sql);
  await sql.query('INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)', [
    next.number,
    next.name,
    next.checksum,
  ]);
  return next.name;
}
