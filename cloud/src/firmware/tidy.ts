import { packPathOf } from '@paddock/shared/pack.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { Archives, RepositoryFiles } from '../ports-firmware.ts';
import { DAY_MS } from '../tuf/formats.ts';
import { archiveOf, PACKS_FROM } from './upload.ts';

const GONE = `
  SELECT name, counter, index_sha256 AS "index" FROM releases r
  WHERE withdrawn_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM releases o WHERE o.index_sha256 = r.index_sha256 AND o.withdrawn_at IS NULL)`;

const OLD = `
  SELECT name, counter FROM (
    SELECT name, counter, row_number() OVER (PARTITION BY name ORDER BY counter DESC) AS place
    FROM releases WHERE published_at IS NOT NULL) ranked
  WHERE place > $1`;

// Nobody signed them for so long that they are hardly going to be.
const UNSIGNED = `
  DELETE FROM releases WHERE published_at IS NULL AND uploaded_at < $1
  RETURNING name, counter`;

/** Whoever is at it with an old snapshot has fetched what that names long before: snapshots are good for 7 days. */
const SUPERSEDED_MS = 8 * DAY_MS;
const UNSIGNED_MS = 30 * DAY_MS;
/** What nobody knows of may be on its way. */
const STRAY_MS = DAY_MS;

/** Takes away packs of what was withdrawn, and archives that no pack is made from any more. */
export async function tidy(sql: Sql, archives: Archives, files: RepositoryFiles): Promise<void> {
  for (const { index } of await sql.query<{ index: string }>(GONE)) await files.remove(packsOf(index));
  const old = await sql.query<{ name: string; counter: number }>(OLD, [PACKS_FROM]);
  const names = new Set(old.map(archiveOf));
  for (const name of await archives.list()) if (names.has(name)) await archives.remove(name);
}

/** Forgets bundles that were uploaded and never signed. In a transaction with an actor and the lock of the repository. */
export async function forgetUnsigned(sql: Sql, now: WallMs): Promise<number> {
  const gone = await sql.query(UNSIGNED, [toInstant(wallMs(now - UNSIGNED_MS))]);
  return gone.length;
}

/**
 * Takes away files that nobody needs any more: snapshots and targets that others followed long ago, packs and archives of
 * no release, and what was broken off. Roots stay for ever, because devices walk them one by one.
 */
export async function tidyFiles(sql: Sql, archives: Archives, files: RepositoryFiles, now: WallMs): Promise<void> {
  for (const role of ['snapshot', 'targets'] as const) await tidyMetadata(files, role, now);
  const known = await sql.query<{ name: string; counter: number; index: string }>(
    'SELECT name, counter, index_sha256 AS "index" FROM releases',
  );
  const indexes = new Set(known.map(({ index }) => index));
  for (const { name, at } of await files.list('packs'))
    if (!indexes.has(name) && at < now - STRAY_MS) await files.remove(`packs/${name}`);
  await archives.tidy(new Set(known.map(archiveOf)), wallMs(now - STRAY_MS));
}

/** A version is old from the moment on in which the next one was written. */
async function tidyMetadata(files: RepositoryFiles, role: 'snapshot' | 'targets', now: WallMs): Promise<void> {
  const found = (await files.list('metadata'))
    .map(({ name, at }) => ({ name, at, version: Number(/^(\d+)\.(\w+)\.json$/.exec(name)?.[1]) }))
    .filter(({ name, version }) => name === `${version}.${role}.json`)
    .toSorted((a, b) => a.version - b.version);
  for (const [at, { name }] of found.entries()) {
    const next = found[at + 1];
    if (next !== undefined && next.at < now - SUPERSEDED_MS) await files.remove(`metadata/${name}`);
  }
}

const packsOf = (index: string): string => packPathOf(index, null).replace(/\/[^/]*$/, '');
