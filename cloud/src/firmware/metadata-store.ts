import type { Sql } from '../ports.ts';
import {
  formatMetadata,
  parseRoot,
  parseSnapshot,
  parseTargets,
  parseTimestamp,
  type Metadata,
  type RoleName,
} from '../tuf/formats.ts';
import type { Published } from '../tuf/online.ts';
import { sha256Of } from '../tuf/targets.ts';

/** Any fixed number: who changes the repository, or writes its files, does so alone, whichever instance. */
const LOCK = 7_233_650;

export const lockRepository = (sql: Sql): Promise<unknown> => sql.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);

const NEWEST = `
  SELECT DISTINCT ON (role) role, metadata FROM firmware_metadata ORDER BY role, version DESC`;

/** The newest of each role. */
export async function published(sql: Sql): Promise<Published> {
  const rows = await sql.query<{ role: RoleName; metadata: string }>(NEWEST);
  const texts = new Map(rows.map(({ role, metadata }) => [role, metadata]));
  const read = <T>(role: RoleName, parse: (text: string) => T): T | null => {
    const text = texts.get(role);
    return text === undefined ? null : parse(text);
  };
  return {
    root: read('root', parseRoot),
    targets: read('targets', parseTargets),
    snapshot: read('snapshot', parseSnapshot),
    timestamp: read('timestamp', parseTimestamp),
  };
}

/** All roots, oldest first, as they are walked. */
export async function allRoots(sql: Sql): Promise<Metadata<'root'>[]> {
  const rows = await sql.query<{ metadata: string }>(
    "SELECT metadata FROM firmware_metadata WHERE role = 'root' ORDER BY version",
  );
  return rows.map(({ metadata }) => parseRoot(metadata));
}

/** What a device without a root begins with: the newest one. Null while there is none. */
export async function firmwareRoot(sql: Sql): Promise<{ version: number; sha256: string } | undefined> {
  const [row] = await sql.query<{ version: number; metadata: string }>(
    "SELECT version, metadata FROM firmware_metadata WHERE role = 'root' ORDER BY version DESC LIMIT 1",
  );
  return row && { version: row.version, sha256: sha256Of(row.metadata) };
}

/** Adds metadata. What the service signs itself is kept in its newest version only. */
export async function keepMetadata(sql: Sql, metadata: Metadata<RoleName>): Promise<void> {
  const { _type: role, version } = metadata.signed;
  await sql.query('INSERT INTO firmware_metadata (role, version, metadata) VALUES ($1, $2, $3)', [
    role,
    version,
    formatMetadata(metadata),
  ]);
  if (role === 'snapshot' || role === 'timestamp')
    await sql.query('DELETE FROM firmware_metadata WHERE role = $1 AND version < $2', [role, version]);
}
