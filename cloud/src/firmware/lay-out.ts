import { targetPathOf } from '@paddock/shared/manifest.ts';
import type { Store } from '../ports.ts';
import type { RepositoryFiles } from '../ports-firmware.ts';
import { formatMetadata, type Metadata, type RoleName } from '../tuf/formats.ts';
import { targetFileOf } from '../tuf/targets.ts';
import { allRoots, lockRepository, published } from './metadata-store.ts';
import { TIMESTAMP } from './paths.ts';
import { manifestsToServe } from './releases.ts';

/**
 * Writes the files of the repository as the database has them. Invariant: wherever it is broken off, the timestamp that
 * lies there names files that lie there, because it is written last.
 */
export async function layOut(store: Store, files: RepositoryFiles): Promise<void> {
  await store.transaction(async (sql) => {
    await lockRepository(sql);
    for (const root of await allRoots(sql)) await put(files, pathOf(root), formatMetadata(root));
    const { targets, snapshot, timestamp } = await published(sql);
    for (const { manifest, sha256, ...release } of await manifestsToServe(sql)) {
      const path = targetFileOf(targetPathOf(release), { hashes: { sha256 } });
      // Its hash is in its name.
      if (!(await files.has(path))) await put(files, path, manifest);
    }
    if (targets) await put(files, pathOf(targets), formatMetadata(targets));
    if (snapshot) await put(files, pathOf(snapshot), formatMetadata(snapshot));
    if (timestamp) await put(files, TIMESTAMP, formatMetadata(timestamp));
  });
}

const pathOf = ({ signed: { _type, version } }: Metadata<RoleName>): string => `metadata/${version}.${_type}.json`;

/** Writes what is not there already. After a restore a version may come back with another content. */
async function put(files: RepositoryFiles, path: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  if ((await textOf(files, path, bytes.length)) !== text) await files.put(path, bytes);
}

async function textOf(files: RepositoryFiles, path: string, most: number): Promise<string | null> {
  const file = await files.open(path);
  if (file === null) return null;
  if (file.bytes === most) return new Response(file.read(0, most)).text();
  await file.close();
  return null;
}
