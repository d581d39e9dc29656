import { packPathOf } from '@paddock/shared/pack.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { Bundle } from '../bundles/bundle.ts';
import { makePack } from '../bundles/make-pack.ts';
import { readBundle } from '../bundles/read.ts';
import { actAs, type Actor } from '../customers/scope.ts';
import type { Spool, Store } from '../ports.ts';
import type { Archives, RepositoryFiles } from '../ports-firmware.ts';
import { RepositoryError } from '../tuf/repository-error.ts';
import { nameOf } from '../tuf/targets.ts';
import { lockRepository } from './metadata-store.ts';
import { addUpload, publishedOf, releaseAt, type Release } from './releases.ts';

/** Devices that run one of so many releases before it get what changed; all others get everything. */
export const PACKS_FROM = 3;

export interface UploadParts {
  readonly store: Store;
  readonly archives: Archives;
  readonly files: RepositoryFiles;
  readonly openSpool: () => Promise<Spool>;
}

/** How the taking in of a bundle goes. */
export type UploadEvent =
  | { readonly kind: 'received'; readonly bytes: number }
  | {
      readonly kind: 'checked';
      readonly name: string;
      readonly version: string;
      readonly counter: number;
      readonly sha256: string;
    }
  /** `from` is the counter of the release that it begins with; null: of none, it brings everything. */
  | { readonly kind: 'packed'; readonly from: number | null; readonly bytes: number }
  | { readonly kind: 'done'; readonly release: Release };

/**
 * Takes a bundle in: the archive whole and checked, the packs that devices load. Devices find none of it before somebody
 * has signed it.
 * @throws BundleError, RepositoryError `release_exists`
 */
export async function* takeIn(
  parts: UploadParts,
  actor: Actor,
  content: AsyncIterable<Uint8Array>,
  now: () => WallMs,
): AsyncGenerator<UploadEvent> {
  const { store, archives } = parts;
  const received = await archives.receive(content);
  let taken: { readonly name: string; readonly counter: number };
  try {
    yield { kind: 'received', bytes: received.file.bytes };
    const bundle = await readBundle(received.file);
    const { manifest, sha256 } = bundle;
    const { name, version, counter } = manifest;
    const known = await releaseAt(store, name, counter);
    if (known && known.publishedAt !== null && known.sha256 !== sha256)
      throw new RepositoryError('release_exists', nameOf(manifest));
    yield { kind: 'checked', name, version, counter, sha256 };
    yield* makePacks(parts, bundle);
    // Under the lock, so that nobody publishes what is being replaced here.
    await store.transaction(async (sql) => {
      await lockRepository(sql);
      await actAs(sql, actor);
      await addUpload(sql, { ...bundle, bundleBytes: bundle.bytes }, now());
      await received.keepAs(archiveOf(manifest));
    });
    taken = { name, counter };
  } finally {
    await received.close();
  }
  const release = await releaseAt(store, taken.name, taken.counter);
  if (release !== null) yield { kind: 'done', release };
}

export const archiveOf = ({ name, counter }: { readonly name: string; readonly counter: number }): string =>
  `${name}-${counter}.bundle`;

/** A pack lies under the hashes of what it leads to and from: what is there is right. */
async function* makePacks(parts: UploadParts, to: Bundle): AsyncGenerator<UploadEvent> {
  const { archives } = parts;
  const { name, counter } = to.manifest;
  yield { kind: 'packed', from: null, bytes: await putPack(parts, to, null) };
  for (const release of await publishedOf(parts.store, name, counter, PACKS_FROM)) {
    const archive = await archives.open(archiveOf(release));
    if (archive === null) continue;
    try {
      yield { kind: 'packed', from: release.counter, bytes: await putPack(parts, to, await readBundle(archive)) };
    } finally {
      await archive.close();
    }
  }
}

async function putPack({ files, openSpool }: UploadParts, to: Bundle, from: Bundle | null): Promise<number> {
  const path = packPathOf(to.manifest.index.sha256, from && from.manifest.index.sha256);
  if (!(await files.has(path))) {
    const spool = await openSpool();
    try {
      await files.put(path, makePack(to, from, spool));
    } finally {
      await spool.close();
    }
  }
  const file = await files.open(path);
  await file?.close();
  return file?.bytes ?? 0;
}
