import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { toInstant } from '@paddock/shared/time.ts';
import manifest from '../package.json' with { type: 'json' };
import { listDataFiles, readPieces, writeWhole } from './adapters/backup-files.ts';
import { systemClock } from './adapters/system-clock.ts';
import { pack, unpack, type EntrySource } from './backup/archive.ts';
import { once, openSnapshot, tableEntries, type DatabaseHead } from './backup/database.ts';
import { BackupError } from './backup/errors.ts';
import type { LockWith, OpenWith } from './backup/keys.ts';
import { seal, unseal } from './backup/sealing.ts';
import { openOwnDatabase, type BackupPlace } from './own-database.ts';
import type { Bulk } from './ports.ts';
import { tell, terminalEntry, toldWhenFailed } from './terminal-audit.ts';

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

export interface BackupOptions {
  readonly lock: LockWith;
  readonly replace: boolean;
  readonly progress: Progress;
}

/**
 * Writes a backup while the service runs, or starts the private database for itself when it does not.
 * @throws BackupError; nothing is left under the file's name then
 */
export const backUp = (place: BackupPlace, file: string, options: BackupOptions): Promise<BackupSummary> =>
  toldWhenFailed(place, { action: 'backup', detail: { file: resolve(file) } }, () => write(place, file, options));

async function write(place: BackupPlace, file: string, options: BackupOptions): Promise<BackupSummary> {
  await using started = new AsyncDisposableStack();
  const bulk = await openOwnDatabase(place, started);
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
  await tell(bulk, terminalEntry('backup', { backupId, file: path, bytes: fileBytes }));
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
