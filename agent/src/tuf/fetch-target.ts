import { checkCommandPaths } from '@paddock/shared/bundle-commands.ts';
import { MAX_MANIFEST_BYTES, parseManifest, targetPathOf, type Manifest } from '@paddock/shared/manifest.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { Repository } from '../ports-firmware.ts';
import type { Delegation } from './delegations.ts';
import type { Targets } from './formats.ts';
import { fetchMetadata, found } from './refresh.ts';
import { findTarget } from './search.ts';
import {
  checkComplete,
  checkContent,
  delegatedTargets,
  sha256Of,
  targetsFile,
  type TrustedSet,
} from './trusted-set.ts';
import { TufError } from './tuf-error.ts';

/** What desired state names. */
export interface WantedRelease extends Pick<Manifest, 'name' | 'counter'> {
  readonly sha256: string;
}

/** A target by its path, with what is trusted at a moment. */
export type FetchTarget = (path: string, most: number, signal: AbortSignal) => Promise<Uint8Array>;

/** 5.7, with the search for who speaks of the target (5.6.7). */
export const targetsOf =
  (repository: Repository, set: TrustedSet, now: WallMs): FetchTarget =>
  async (path, most, signal) => {
    const load = async (delegation: Delegation): Promise<Targets> => {
      const named = targetsFile(set, delegation.name);
      const bytes = await fetchMetadata(repository, set, delegation.name, named, signal);
      return delegatedTargets(set, delegation, bytes, now);
    };
    const file = await findTarget(checkComplete(set, now), path, load);
    if (file.length > most) throw new TufError('tuf_length', `${path}, ${file.length} bytes`);
    const hash = file.hashes['sha256'] ?? file.hashes['sha512'];
    const isHashed = set.root.signed.consistent_snapshot === true;
    const at = `targets/${isHashed ? hashedPath(path, hash) : path}`;
    const bytes = found(await repository.get(at, file.length, signal), path);
    checkContent(path, file, bytes);
    return bytes;
  };

/** Consistent snapshots (6.2): the hash stands before the name of the file. */
const hashedPath = (path: string, hash = ''): string => path.replace(/[^/]*$/, (name) => `${hash}.${name}`);

/**
 * @throws TufError `tuf_mismatch` unless it is the release that is desired; BundleError when it is no manifest, or names
 * programs out of the slot
 */
export async function fetchManifest(
  fetch: FetchTarget,
  wanted: WantedRelease,
  signal: AbortSignal,
): Promise<{ readonly manifest: Manifest; readonly bytes: Uint8Array }> {
  const bytes = await fetch(targetPathOf(wanted), MAX_MANIFEST_BYTES, signal);
  const sha256 = sha256Of(bytes);
  if (sha256 !== wanted.sha256) throw new TufError('tuf_mismatch', `sha256 ${sha256} in place of ${wanted.sha256}`);
  const manifest = parseManifest(bytes);
  for (const key of ['name', 'counter'] as const)
    if (manifest[key] !== wanted[key]) throw new TufError('tuf_mismatch', `${key} ${manifest[key]}`);
  checkCommandPaths(manifest);
  return { manifest, bytes };
}
