import { MAX_MANIFEST_BYTES, parseManifest, targetPathOf, type Manifest } from '@paddock/shared/manifest.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { Disk, Repository } from '../ports.ts';
import type { Log } from '../report/log.ts';
import { beginningOf, isOther, type FirstRoot } from './beginning.ts';
import type { Floor } from './floor.ts';
import type { Delegation } from './delegations.ts';
import type { Targets } from './formats.ts';
import { fetchMetadata, found, refreshSteps } from './refresh.ts';
import { findTarget } from './search.ts';
import { keep, keepFloor, readStore } from './store.ts';
import { begin, checkComplete, checkContent, delegatedTargets, sha256Of, targetsFile, type TrustedSet } from './trusted-set.ts';
import { TufError } from './tuf-error.ts';

export interface TufParts {
  readonly disk: Disk;
  readonly repository: Repository;
  /** What true time certainly is: `latest` is null until an exchange of this boot has told it. */
  readonly time: () => { readonly earliest: WallMs; readonly latest: WallMs | null };
  /** Asked while nothing is pinned, and once more to tell of another one. */
  readonly firstRoot: () => FirstRoot | null;
  readonly log: Log;
}

/** Of the metadata that are trusted, as reports tell them. */
export interface Versions {
  readonly root: number;
  readonly timestamp?: number;
  readonly snapshot?: number;
  readonly targets?: number;
}

/** What desired state names. */
export interface WantedRelease extends Pick<Manifest, 'name' | 'counter'> {
  readonly sha256: string;
}

/** The client of The Update Framework: which releases are genuine. One call at a time; later ones wait. */
export interface Tuf {
  /**
   * Takes newer metadata from the repository. Nothing that was trusted is lost by an error.
   * @throws TufError, FetchError, and what the disk throws
   */
  refresh(signal: AbortSignal): Promise<Versions>;
  /**
   * The manifest of a release, if the metadata that are trusted now say the same of it as desired state does.
   * @param options.withoutTime while trusted time is not known, too: then a freeze may go unseen
   * @throws TufError, BundleError, FetchError
   */
  manifestOf(
    wanted: WantedRelease,
    signal: AbortSignal,
    options?: { readonly withoutTime?: boolean },
  ): Promise<{ readonly manifest: Manifest; readonly bytes: Uint8Array }>;
  /** Any target, verified. @param most bytes that it may have */
  target(path: string, most: number, signal: AbortSignal): Promise<Uint8Array>;
  versions(): Versions | null;
}

/** Reads what is trusted from the disk; asks nobody. */
export async function openTuf(parts: TufParts): Promise<Tuf> {
  const { disk, repository, log, firstRoot } = parts;
  const stored = await readStore(disk);
  for (const file of stored.damaged)
    log.warn({ code: 'tuf_file_damaged', file }, 'trusted metadata are damaged and fetched again');
  let { set } = stored;
  let written: Floor | null = stored.floor;
  tellPinned(firstRoot(), set, log);

  async function pin(signal: AbortSignal): Promise<TrustedSet> {
    const root = await beginningOf(firstRoot(), written, repository, signal);
    await keep(disk, 'firstRoot', root.bytes);
    const begun = begin(root, sha256Of(root.bytes));
    return written ? { ...begun, floor: written } : begun;
  }

  async function refresh(signal: AbortSignal): Promise<Versions> {
    // 5.1: what expires during the update has not expired for it.
    const { earliest } = parts.time();
    set ??= await pin(signal);
    const before = JSON.stringify(versionsOf(set));
    try {
      for await (const next of refreshSteps(parts, set, earliest, signal)) set = next;
    } finally {
      if (JSON.stringify(set.floor) !== JSON.stringify(written)) await keepFloor(disk, set.floor);
      written = set.floor;
    }
    const versions = versionsOf(set);
    if (JSON.stringify(versions) !== before) log.info({ code: 'tuf_refreshed', ...versions }, 'newer metadata');
    return versions;
  }

  async function target(path: string, most: number, signal: AbortSignal): Promise<Uint8Array> {
    if (!set) throw new TufError('tuf_incomplete');
    const [trusted, now] = [set, parts.time().earliest];
    const load = async (delegation: Delegation): Promise<Targets> => {
      const named = targetsFile(trusted, delegation.name);
      const bytes = await fetchMetadata(repository, trusted, delegation.name, named, signal);
      return delegatedTargets(trusted, delegation, bytes, now);
    };
    // 5.7
    const file = await findTarget(checkComplete(trusted, now), path, load);
    if (file.length > most) throw new TufError('tuf_length', `${path}, ${file.length} bytes`);
    const hash = file.hashes['sha256'] ?? file.hashes['sha512'];
    const isHashed = trusted.root.signed.consistent_snapshot === true;
    const bytes = await repository.get(`targets/${isHashed ? hashedPath(path, hash) : path}`, file.length, signal);
    checkContent(path, file, found(bytes, path));
    return found(bytes, path);
  }

  const manifestOf: Tuf['manifestOf'] = async (wanted, signal, { withoutTime = false } = {}) => {
    if (parts.time().latest === null && !withoutTime) throw new TufError('tuf_time_unknown');
    const bytes = await target(targetPathOf(wanted), MAX_MANIFEST_BYTES, signal);
    const sha256 = sha256Of(bytes);
    if (sha256 !== wanted.sha256) throw new TufError('tuf_mismatch', `sha256 ${sha256} in place of ${wanted.sha256}`);
    const manifest = parseManifest(bytes);
    for (const key of ['name', 'counter'] as const)
      if (manifest[key] !== wanted[key]) throw new TufError('tuf_mismatch', `${key} ${manifest[key]}`);
    return { manifest, bytes };
  };

  const inOrder = serializer();
  return {
    refresh: (signal) => inOrder(() => refresh(signal)),
    manifestOf: (wanted, signal, options) => inOrder(() => manifestOf(wanted, signal, options)),
    target: (path, most, signal) => inOrder(() => target(path, most, signal)),
    versions: () => set && versionsOf(set),
  };
}

function versionsOf({ root, timestamp, snapshot, targets }: TrustedSet): Versions {
  return {
    root: root.signed.version,
    ...(timestamp && { timestamp: timestamp.signed.version }),
    ...(snapshot && { snapshot: snapshot.signed.version }),
    ...(targets && { targets: targets.signed.version }),
  };
}

/** A list of keys of today names a newer root than the one that a device began with: nothing is wrong with that. */
function tellPinned(offered: FirstRoot | null, set: TrustedSet | null, log: Log): void {
  if (offered && set && isOther(offered, set.floor.pinned))
    log.debug({ code: 'tuf_root_pinned', pinned: set.floor.pinned }, 'another first root is offered and ignored');
}

/** Consistent snapshots (6.2): the hash stands before the name of the file. */
const hashedPath = (path: string, hash = ''): string => path.replace(/[^/]*$/, (name) => `${hash}.${name}`);

function serializer(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}
