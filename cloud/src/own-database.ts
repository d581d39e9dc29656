import { resolve } from 'node:path';
import { entriesOf } from './adapters/backup-files.ts';
import { readDatabasePassword } from './adapters/data-dir.ts';
import { runningPostgresUrl, startEmbeddedPostgres } from './adapters/embedded-postgres.ts';
import { openBulk } from './adapters/postgres.ts';
import { BackupError } from './backup/errors.ts';
import type { Bulk } from './ports.ts';

/** Where a service keeps what it has. */
export interface BackupPlace {
  readonly dataDir: string;
  readonly databaseUrl: string | null;
}

/**
 * The database of the service, whether it runs or not: the private one is started for as long as this is needed.
 * @throws BackupError `backup_nothing`
 */
export async function openOwnDatabase(
  { dataDir, databaseUrl }: BackupPlace,
  started: AsyncDisposableStack,
): Promise<Bulk> {
  const bulk = await openBulk(databaseUrl ?? (await privateUrl(dataDir, started)));
  started.defer(() => bulk.close());
  return bulk;
}

async function privateUrl(dataDir: string, started: AsyncDisposableStack): Promise<string> {
  const password = await readDatabasePassword(dataDir);
  // Without its directory one would be made.
  if (password === null || !(await entriesOf(dataDir)).includes('postgres'))
    throw new BackupError('backup_nothing', resolve(dataDir));
  try {
    const embedded = await startEmbeddedPostgres({ dataDir, password });
    started.defer(() => embedded.stop());
    return embedded.url;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'data_dir_in_use')
      return runningPostgresUrl(dataDir, password);
    throw error;
  }
}
