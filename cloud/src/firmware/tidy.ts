import { packPathOf } from '@paddock/shared/pack.ts';
import type { Sql } from '../ports.ts';
import type { Archives, RepositoryFiles } from '../ports-firmware.ts';
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

/** Takes away packs of what was withdrawn, and archives that no pack is made from any more. */
export async function tidy(sql: Sql, archives: Archives, files: RepositoryFiles): Promise<void> {
  for (const { index } of await sql.query<{ index: string }>(GONE))
    await files.remove(packPathOf(index, null).replace(/\/[^/]*$/, ''));
  const old = await sql.query<{ name: string; counter: number }>(OLD, [PACKS_FROM]);
  const names = new Set(old.map(archiveOf));
  for (const name of await archives.list()) if (names.has(name)) await archives.remove(name);
}
