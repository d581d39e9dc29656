import type { Repository } from '../ports-firmware.ts';
import type { Floor } from './floor.ts';
import type { Root } from './formats.ts';
import { MOST_BYTES } from './store.ts';
import { firstRoot, sha256Of } from './trusted-set.ts';
import { TufError } from './tuf-error.ts';

/** Where trust begins: a file that the factory put there, or what the sealed list of keys names. */
export type FirstRoot = { readonly bytes: Uint8Array } | { readonly version: number; readonly sha256: string };

/**
 * The root that a device without one begins with.
 * @param floor of a store whose roots are all damaged: only the root that was pinned then may begin again
 * @throws TufError `tuf_root_missing`, `tuf_root_pinned`, `tuf_root_hash`, `tuf_root_signature` or `tuf_malformed`
 */
export async function beginningOf(
  offered: FirstRoot | null,
  floor: Floor | null,
  repository: Repository,
  signal: AbortSignal,
): Promise<Root> {
  if (offered === null) throw new TufError('tuf_root_missing', 'no list of keys and no file name one');
  const bytes = 'bytes' in offered ? offered.bytes : await fetchRoot(offered.version, repository, signal);
  const sha256 = sha256Of(bytes);
  if ('sha256' in offered && sha256 !== offered.sha256) throw new TufError('tuf_root_hash', sha256);
  if (isOther(offered, floor?.pinned ?? null)) throw new TufError('tuf_root_pinned', floor?.pinned ?? undefined);
  return firstRoot(bytes);
}

/** Whether another root is offered than was pinned. */
export const isOther = (offered: FirstRoot, pinned: string | null): boolean =>
  pinned !== null && pinned !== ('bytes' in offered ? sha256Of(offered.bytes) : offered.sha256);

async function fetchRoot(version: number, repository: Repository, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = await repository.get(`metadata/${version}.root.json`, MOST_BYTES.root, signal);
  if (bytes === null) throw new TufError('tuf_root_missing', `the repository has no root ${version}`);
  return bytes;
}
