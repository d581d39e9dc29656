import type { Manifest } from '@paddock/shared/manifest.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import type { Repository } from '../ports-firmware.ts';
import type { Disk } from '../ports.ts';
import type { Log } from '../report/log.ts';
import { beginningOf, isOther, type FirstRoot } from './beginning.ts';
import { fetchManifest, targetsOf, type FetchTarget, type WantedRelease } from './fetch-target.ts';
import type { Floor } from './floor.ts';
import { refreshSteps } from './refresh.ts';
import { keep, keepFloor, readStore } from './store.ts';
import { begin, sha256Of, type TrustedSet } from './trusted-set.ts';
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

  function trusted(): FetchTarget {
    if (!set) throw new TufError('tuf_incomplete');
    return targetsOf(repository, set, parts.time().earliest);
  }

  const manifestOf: Tuf['manifestOf'] = async (wanted, signal, { withoutTime = false } = {}) => {
    if (parts.time().latest === null && !withoutTime) throw new TufError('tuf_time_unknown');
    return fetchManifest(trusted(), wanted, signal);
  };

  const inOrder = serializer();
  return {
    refresh: (signal) => inOrder(() => refresh(signal)),
    manifestOf: (wanted, signal, options) => inOrder(() => manifestOf(wanted, signal, options)),
    target: (path, most, signal) => inOrder(async () => trusted()(path, most, signal)),
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

function serializer(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}
