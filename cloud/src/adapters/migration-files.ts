import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';

const DIRECTORY = new URL('../migrations/', import.meta.url);
const FILE_NAME = /^(\d{6})_[a-z0-9_]+\.sql$/;

interface MigrationFile {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hex. */
  readonly checksum: string;
}

/** Reads the numbered SQL files of a directory, in order. Other files are left alone. */
export async function readMigrations(directory: URL = DIRECTORY): Promise<MigrationFile[]> {
  const names = (await readdir(directory)).filter((name) => FILE_NAME.test(name)).toSorted();
  return Promise.all(names.map((name) => readMigration(directory, name)));
}

async function readMigration(directory: URL, file: string): Promise<MigrationFile> {
  const sql = await readFile(new URL(file, directory), 'utf8');
  const checksum = createHash('sha256').update(sql).digest('hex');
  return { number: Number(file.slice(0, 6)), name: file.replace(/\.sql$/, ''), sql, checksum };
}
