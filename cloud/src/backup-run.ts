import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { toInstant } from '@paddock/shared/time.ts';
import manifest from '../package.json' with { type: 'json' };
import { listDataFiles, readPieces, writeWhole } from './adapters/backup-files.ts';
import { readDatabasePassword } from './adapters/data-dir.ts';
import { runningPostgresUrl, startEmbeddedPostgres } from './adapters/embedded-postgres.ts';
import { openBulk } from './adapters/postgres.ts';
import { systemClock } from './adapters/system-clock.ts';
import { writeEntries } from './audit/log.ts';
import { pack, unpack, type EntrySource } from './backup/archive.ts';
import { once, openSnapshot, tableEntries, type DatabaseHead } from './backup/database.ts';
import { BackupError } from './backup/errors.ts';
import type { LockWith, OpenWith } from './backup/keys.ts';
import { seal, unseal } from './backup/sealing.ts';
import type { AuditEntry, Bulk } from './ports.ts';

/** Told about each entry and how much of it is done, in bytes. */
export type Progress = (what: string, bytes: number) => void;

/** The first entry: what the backup is of. */
export interface BackupHead {
  readonly backupId: string;
  /** RFC 3339 UTC: of the snapshot. */
  readonly createdAt: string;
  /** Of the service that made it. */
  readonly version: string;
  readonly host: string;
  readonly database: DatabaseHead;
}

export interface BackupPlace {
  readonly dataDir: string;
  readonly databaseUrl: string | null;
}

export interface BackupSummary {
  readonly file: string;
  readonly backupId: string;
  readonly createdAt: string;
  readonly version: string;
  readonly migration: string;
  readonly tables: number;
  readonly files: number;
  /** Of the content, before compression. */
  readonly bytes: number;
  /** Of the file; null when it was only read. */
  readonly fileBytes: number | null;
}

/**
 * Writes a backup while the service runs, or starts the private database for itself when it does not.
 * @throws BackupError; nothing is left under the file's name then
 */
export async function backUp(
  place: BackupPlace,
  file: string,
  options: { readonly lock: LockWith; readonly replace: boolean; readonly progress: Progress },
): Promise<BackupSummary> {
  await using started = new AsyncDisposableStack();
  const bulk = await openDatabase(place, started);
  const backupId = randomUUID();
  const createdAt = toInstant(systemClock.wall());
  const database = await openSnapshot(bulk);
  const head: BackupHead = { backupId, createdAt, version: manifest.version, host: hostname(), database };
  const counted = { bytes: 0, files: 0 };
  const progress = ({ kind, name }: { kind: string; name: string }, bytes: number): void => {
    counted.bytes += bytes;
    options.progress(`${kind} ${name}`, bytes);
  };
  const packed = pack(entriesOf(head, place, bulk, counted), progress);
  const path = resolve(file);
  const fileBytes = await written(path, seal(packed, { backupId, createdAt }, options.lock), options.replace);
  const summary = { ...summaryOf(path, head), ...counted, fileBytes };
  await tell(bulk, 'backup', { backupId, file: path, bytes: fileBytes });
  return summary;
}

async function written(path: string, sealed: AsyncIterable<Uint8Array>, replace: boolean): Promise<number> {
  try {
    return await writeWhole(path, sealed, replace);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
      throw new BackupError('file_exists', path, { cause });
    throw cause;
  }
}

async function* entriesOf(
  head: BackupHead,
  { dataDir }: BackupPlace,
  bulk: Bulk,
  counted: { files: number },
): AsyncGenerator<EntrySource> {
  yield { kind: 'head', name: 'head', data: once(Buffer.from(JSON.stringify(head))) };
  for (const name of await listDataFiles(resolve(dataDir))) {
    counted.files += 1;
    yield { kind: 'file', name, data: readPieces(join(dataDir, name)) };
  }
  yield* tableEntries(bulk, head.database);
}

/** The database of the service, whether it runs or not. */
async function openDatabase({ dataDir, databaseUrl }: BackupPlace, started: AsyncDisposableStack): Promise<Bulk> {
  const bulk = await openBulk(databaseUrl ?? (await privateUrl(dataDir, started)));
  started.defer(() => bulk.close());
  return bulk;
}

async function privateUrl(dataDir: string, started: AsyncDisposableStack): Promise<string> {
  const password = await readDatabasePassword(dataDir);
  if (password === null) throw new BackupError('backup_nothing', resolve(dataDir));
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

/** Reads all of a backup and believes nothing that it says before it has proved right. @throws BackupError */
export async function verifyBackup(
  file: string,
  open: OpenWith,
  progress: Progress,
): Promise<BackupSummary & { head: BackupHead }> {
  let head: BackupHead | null = null;
  const counted = { bytes: 0, files: 0 };
  const seen = new Set<string>();
  for await (const { kind, name, data } of unpack(unseal(readPieces(file), open))) {
    const parts: Uint8Array[] = [];
    for await (const piece of data) {
      counted.bytes += piece.byteLength;
      progress(`${kind} ${name}`, piece.byteLength);
      if (kind === 'head') parts.push(piece);
    }
    if (kind === 'head') head = JSON.parse(Buffer.concat(parts).toString()) as BackupHead;
    if (kind === 'file') counted.files += 1;
    seen.add(`${kind} ${name}`);
  }
  const missing = head?.database.tables.find(({ name }) => !seen.has(`table ${name}`));
  if (head === null || missing !== undefined || !seen.has('sequences sequences'))
    throw new BackupError('backup_malformed', missing?.name);
  return { ...summaryOf(resolve(file), head), ...counted, fileBytes: null, head };
}

const summaryOf = (file: string, { backupId, createdAt, version, database }: BackupHead) => ({
  file,
  backupId,
  createdAt,
  version,
  migration: database.migrations.at(-1)?.name ?? '',
  tables: database.tables.length,
});

/** What a command that works on the database itself leaves in the audit log. */
export const terminalEntry = (action: string, detail: AuditEntry['detail']): AuditEntry => ({
  actor: `terminal:${userInfo().username}`,
  action,
  result: 'done',
  detail: { host: hostname(), ...detail },
});

const tell = (bulk: Bulk, action: string, detail: AuditEntry['detail']): Promise<void> =>
  writeEntries(bulk, [{ entry: terminalEntry(action, detail), at: systemClock.wall() }]);
