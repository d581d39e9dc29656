import type { Manifest } from '@paddock/shared/manifest.ts';
import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import { RepositoryError } from '../tuf/repository-error.ts';
import { nameOf, type Offered } from '../tuf/targets.ts';

/** uploaded: the bundle is here and was not signed; published: devices find it; withdrawn: they do not any more. */
export const RELEASE_STATES = ['uploaded', 'published', 'withdrawn'] as const;
export type ReleaseState = (typeof RELEASE_STATES)[number];

/** A bundle as the service knows it. */
export interface Release extends Pick<Manifest, 'name' | 'version' | 'counter' | 'files' | 'bytes'> {
  /** SHA-256 of the manifest, hex. */
  readonly sha256: string;
  /** SHA-256 of the index, hex. */
  readonly indexSha256: string;
  readonly models: readonly string[];
  readonly bundleBytes: number;
  readonly state: ReleaseState;
  readonly withdrawn: boolean;
  readonly uploadedAt: string;
  readonly publishedAt: string | null;
  readonly withdrawnAt: string | null;
}

interface Row extends Pick<Release, 'name' | 'version' | 'counter' | 'files' | 'bytes' | 'sha256'> {
  models: string[];
  index_sha256: string;
  bundle_bytes: number;
  uploaded_at: Date;
  published_at: Date | null;
  withdrawn_at: Date | null;
}

const COLUMNS = `name, counter, version, sha256, models, index_sha256, files, bytes, bundle_bytes,
  uploaded_at, published_at, withdrawn_at`;

function releaseOf(row: Row): Release {
  const at = (moment: Date | null): string | null => moment && moment.toISOString();
  const { name, counter, version, sha256, models, files, bytes } = row;
  const [publishedAt, withdrawnAt] = [at(row.published_at), at(row.withdrawn_at)];
  return {
    name,
    counter,
    version,
    sha256,
    models,
    files,
    bytes,
    indexSha256: row.index_sha256,
    bundleBytes: row.bundle_bytes,
    state: publishedAt === null ? 'uploaded' : withdrawnAt === null ? 'published' : 'withdrawn',
    withdrawn: withdrawnAt !== null,
    uploadedAt: row.uploaded_at.toISOString(),
    publishedAt,
    withdrawnAt,
  };
}

/**
 * A release that was published, whether or not it was withdrawn since.
 * @param which its counter, or its version: of several of one version the newest
 */
export async function readRelease(sql: Sql, name: string, which: number | string): Promise<Release | null> {
  const column = typeof which === 'number' ? 'counter' : 'version';
  const [row] = await sql.query<Row>(
    `SELECT ${COLUMNS} FROM releases WHERE name = $1 AND ${column} = $2 AND published_at IS NOT NULL
     ORDER BY counter DESC LIMIT 1`,
    [name, which],
  );
  return row ? releaseOf(row) : null;
}

/** What is known of a bundle, signed or not. */
export async function releaseAt(sql: Sql, name: string, counter: number): Promise<Release | null> {
  const [row] = await sql.query<Row>(`SELECT ${COLUMNS} FROM releases WHERE name = $1 AND counter = $2`, [
    name,
    counter,
  ]);
  return row ? releaseOf(row) : null;
}

/** The newest of each name first. @param after the last one of the page before */
export async function listReleases(
  sql: Sql,
  { name, after, limit }: { name?: string | undefined; after: readonly [string, number] | null; limit: number },
): Promise<Release[]> {
  const [afterName, afterCounter] = after ?? [null, null];
  const rows = await sql.query<Row>(
    `SELECT ${COLUMNS} FROM releases
     WHERE ($1::text IS NULL OR name = $1)
       AND ($2::text IS NULL OR name > $2 OR (name = $2 AND counter < $3::bigint))
     ORDER BY name, counter DESC LIMIT $4`,
    [name ?? null, afterName, afterCounter, limit],
  );
  return rows.map(releaseOf);
}

/** Those of a name that were published, newest first. @param before only those of a lower counter */
export async function publishedOf(sql: Sql, name: string, before: number, limit: number): Promise<Release[]> {
  const rows = await sql.query<Row>(
    `SELECT ${COLUMNS} FROM releases WHERE name = $1 AND counter < $2 AND published_at IS NOT NULL
     ORDER BY counter DESC LIMIT $3`,
    [name, before, limit],
  );
  return rows.map(releaseOf);
}

/** Manifests that devices are to find. */
export const manifestsToServe = (
  sql: Sql,
): Promise<{ name: string; counter: number; sha256: string; manifest: string }[]> =>
  sql.query(
    'SELECT name, counter, sha256, manifest FROM releases WHERE published_at IS NOT NULL AND withdrawn_at IS NULL',
  );

/** The greatest counter of a name that was ever published; 0 without any. */
export async function newestCounter(sql: Sql, name: string): Promise<number> {
  const [row] = await sql.query<{ counter: number | null }>(
    'SELECT max(counter) AS counter FROM releases WHERE name = $1 AND published_at IS NOT NULL',
    [name],
  );
  return row?.counter ?? 0;
}

/**
 * Takes down that a bundle is here, in a transaction with an actor.
 * @throws RepositoryError `release_exists` when another content was published under its name and counter
 */
export async function addUpload(
  sql: Sql,
  { manifest, manifestBytes, sha256, bundleBytes }: Offered & { readonly sha256: string; readonly bundleBytes: number },
  now: WallMs,
): Promise<void> {
  const { name, counter, version, models, index, files, bytes } = manifest;
  const known = await releaseAt(sql, name, counter);
  if (known?.sha256 === sha256) return;
  if (known && known.publishedAt !== null) throw new RepositoryError('release_exists', nameOf(manifest));
  await sql.query('DELETE FROM releases WHERE name = $1 AND counter = $2', [name, counter]);
  const text = new TextDecoder().decode(manifestBytes);
  await sql.query(
    `INSERT INTO releases (name, counter, version, sha256, models, manifest, index_sha256, files, bytes, bundle_bytes,
       uploaded_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [name, counter, version, sha256, models, text, index.sha256, files, bytes, bundleBytes, toInstant(now)],
  );
}

/** In a transaction with an actor. */
export async function markReleases(
  sql: Sql,
  what: 'published_at' | 'withdrawn_at',
  releases: readonly Pick<Manifest, 'name' | 'counter'>[],
  now: WallMs,
): Promise<void> {
  for (const { name, counter } of releases)
    await sql.query(`UPDATE releases SET ${what} = $3 WHERE name = $1 AND counter = $2`, [
      name,
      counter,
      toInstant(now),
    ]);
}
