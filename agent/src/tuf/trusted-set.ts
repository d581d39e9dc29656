import { createHash } from 'node:crypto';
import type { WallMs } from '@paddock/shared/time.ts';
import { floorUnder, isRotated, raisedByRoot, raisedBySnapshot, raisedByTimestamp, type Floor } from './floor.ts';
import * as formats from './formats.ts';
import type { MetaFile, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp, TopRole } from './formats.ts';
import { isSignedBy } from './signatures.ts';
import { TufError } from './tuf-error.ts';

/*
 * What is trusted, and how it becomes newer: root, timestamp, snapshot, targets (specification 1.0.31, section 5). No
 * step does I/O or knows a clock; `now` is the fixed start of the update (5.1), the earliest that true time can be.
 * Each returns a new set or throws a TufError, and then the old one holds.
 */

/** Invariant: all of it was signed as the root says, and the floor is no lower than any of it. */
export interface TrustedSet {
  readonly root: Root;
  readonly timestamp: Timestamp | null;
  readonly snapshot: Snapshot | null;
  readonly targets: Targets | null;
  readonly floor: Floor;
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** 5.2: what is given is trusted for where it comes from; that it signs itself shows that it is whole. */
export function firstRoot(bytes: Uint8Array): Root {
  const root = formats.parseRoot(bytes);
  checkRootSignature(root, root);
  return root;
}

export const begin = (root: Root, pinned: string | null): TrustedSet => ({
  root,
  timestamp: null,
  snapshot: null,
  targets: null,
  floor: floorUnder(root, pinned),
});

/** @returns the same set when the repository only repeats the root that is trusted */
export function withRoot(set: TrustedSet, bytes: Uint8Array): TrustedSet {
  const root = formats.parseRoot(bytes);
  // 5.3.4: by the keys that were trusted so far, and by its own.
  checkRootSignature(set.root, root);
  checkRootSignature(root, root);
  const [was, is] = [set.root.signed.version, root.signed.version];
  // 5.3.5: exactly the next one.
  if (is === was) return set;
  if (is < was) throw new TufError('tuf_version_rollback', `root ${is} after ${was}`);
  if (is > was + 1) throw new TufError('tuf_version_mismatch', `root ${is} in place of ${was + 1}`);
  // 5.3.7. When it expires does not matter before the walk has ended (5.3.6).
  return { ...set, root };
}

/** The end of the walk over roots. `isRotated` says that versions of the set bind nobody any more. */
export function withLastRoot(set: TrustedSet, now: WallMs): { set: TrustedSet; isRotated: boolean } {
  const { root, floor } = set;
  // A root that was trusted and whose file is lost must be found again.
  if (root.signed.version < floor.root)
    throw new TufError('tuf_version_rollback', `root ${root.signed.version} after ${floor.root}`);
  // 5.3.10
  checkFreshness('root', root, now);
  // 5.3.11
  if (isRotated(floor, root)) return { set: { ...begin(root, floor.pinned), targets: set.targets }, isRotated: true };
  return { set: { ...set, floor: raisedByRoot(floor, root) }, isRotated: false };
}

/** @returns the same set when the repository has no newer one */
export function withTimestamp(set: TrustedSet, bytes: Uint8Array, now: WallMs): TrustedSet {
  const timestamp = formats.parseTimestamp(bytes);
  // 5.4.2
  checkSignature('timestamp', set.root, timestamp);
  // 5.4.3.1
  const { version } = timestamp.signed;
  if (version < set.floor.timestamp)
    throw new TufError('tuf_version_rollback', `timestamp ${version} after ${set.floor.timestamp}`);
  if (version === set.timestamp?.signed.version) {
    checkFreshness('timestamp', set.timestamp, now);
    return set;
  }
  // 5.4.3.2
  const named = timestamp.signed.meta['snapshot.json'].version;
  if (named < set.floor.snapshot)
    throw new TufError('tuf_version_rollback', `snapshot ${named} after ${set.floor.snapshot}`);
  // 5.4.4
  checkFreshness('timestamp', timestamp, now);
  return { ...set, timestamp, floor: raisedByTimestamp(set.floor, timestamp) };
}

export const snapshotFile = ({ timestamp }: TrustedSet): MetaFile => known(timestamp).signed.meta['snapshot.json'];

export function withSnapshot(set: TrustedSet, bytes: Uint8Array, now: WallMs): TrustedSet {
  const named = snapshotFile(set);
  // 5.5.2, before anything of it is read
  checkContent('snapshot', named, bytes);
  const snapshot = formats.parseSnapshot(bytes);
  // 5.5.3
  checkSignature('snapshot', set.root, snapshot);
  // 5.5.4
  checkVersion('snapshot', named, snapshot);
  // 5.5.5
  for (const [name, floor] of Object.entries(set.floor.targets)) {
    const listed = metaOf(snapshot, name);
    if (!listed) throw new TufError('tuf_snapshot_shrunk', name);
    if (listed.version < floor) throw new TufError('tuf_version_rollback', `${name} ${listed.version} after ${floor}`);
  }
  // 5.5.6
  checkFreshness('snapshot', snapshot, now);
  return { ...set, snapshot, floor: raisedBySnapshot(set.floor, snapshot) };
}

export const targetsFile = ({ snapshot }: TrustedSet, role = 'targets'): MetaFile => {
  const listed = metaOf(known(snapshot), `${role}.json`);
  // 5.6.7: what no snapshot lists is no metadata.
  if (!listed) throw new TufError('tuf_target_unknown', `no snapshot lists ${role}`);
  return listed;
};

export function withTargets(set: TrustedSet, bytes: Uint8Array, now: WallMs): TrustedSet {
  const named = targetsFile(set);
  // 5.6.2
  checkContent('targets', named, bytes);
  const targets = formats.parseTargets(bytes);
  // 5.6.3
  checkSignature('targets', set.root, targets);
  // 5.6.4
  checkVersion('targets', named, targets);
  // 5.6.5
  checkFreshness('targets', targets, now);
  return { ...set, targets };
}

/** Targets that a role delegates: as 5.6.2 to 5.6.5, with the keys of who delegates. */
export function delegatedTargets(
  set: TrustedSet,
  delegation: { readonly name: string; readonly role: formats.Role; readonly keys: formats.Keys },
  bytes: Uint8Array,
  now: WallMs,
): Targets {
  const { name, role, keys } = delegation;
  const named = targetsFile(set, name);
  checkContent(name, named, bytes);
  const targets = formats.parseTargets(bytes);
  if (!isSignedBy(role, keys, targets)) throw new TufError('tuf_signature', name);
  checkVersion(name, named, targets);
  checkFreshness(name, targets, now);
  return targets;
}

/**
 * The set if it is one whole, each part as the part before names it, and nothing of it has expired.
 * @throws TufError `tuf_incomplete` or `tuf_expired`
 */
export function checkComplete(set: TrustedSet, now: WallMs): Targets {
  const { root, timestamp, snapshot } = set;
  const targets = currentTargets(set);
  if (root.signed.version < set.floor.root || isRotated(set.floor, root) || !targets)
    throw new TufError('tuf_incomplete');
  for (const [name, metadata] of Object.entries({ root, timestamp: known(timestamp), snapshot: known(snapshot) }))
    checkFreshness(name, metadata, now);
  checkFreshness('targets', targets, now);
  return targets;
}

/** The snapshot, if it is the one that the timestamp names: then it need not be fetched. */
export const currentSnapshot = ({ timestamp, snapshot }: TrustedSet): Snapshot | null =>
  timestamp && snapshot && isNamed(timestamp.signed.meta['snapshot.json'], snapshot) ? snapshot : null;

export function currentTargets(set: TrustedSet): Targets | null {
  const named = currentSnapshot(set)?.signed.meta['targets.json'];
  return named && set.targets && isNamed(named, set.targets) ? set.targets : null;
}

/** 5.7.3, and 5.5.2 and 5.6.2 for metadata. */
export function checkContent(
  what: string,
  { length, hashes = {} }: Pick<MetaFile | TargetFile, 'length' | 'hashes'>,
  bytes: Uint8Array,
): void {
  if (length !== undefined && bytes.length !== length)
    throw new TufError('tuf_length', `${what} has ${bytes.length} bytes in place of ${length}`);
  for (const [algorithm, expected] of Object.entries(hashes)) {
    if (!HASHES.has(algorithm)) throw new TufError('tuf_hash_mismatch', `${what}: ${algorithm} is not known here`);
    if (createHash(algorithm).update(bytes).digest('hex') !== expected) throw new TufError('tuf_hash_mismatch', what);
  }
}
const HASHES: ReadonlySet<string> = new Set(['sha256', 'sha512']);

function isNamed(named: MetaFile, metadata: Metadata<TopRole>): boolean {
  try {
    checkContent('', named, metadata.bytes);
    return metadata.signed.version === named.version;
  } catch {
    return false;
  }
}

const metaOf = ({ signed: { meta } }: Snapshot, name: string): MetaFile | undefined =>
  Object.hasOwn(meta, name) ? meta[name] : undefined;

function known<T>(metadata: T | null): T {
  if (metadata === null) throw new TufError('tuf_incomplete');
  return metadata;
}

function checkRootSignature({ signed: { roles, keys, version } }: Root, root: Root): void {
  if (!isSignedBy(roles.root, keys, root))
    throw new TufError('tuf_root_signature', `root ${root.signed.version} by the keys of root ${version}`);
}

export function checkSignature(name: Exclude<TopRole, 'root'>, root: Root, metadata: Metadata<TopRole>): void {
  const { roles, keys } = root.signed;
  if (!isSignedBy(roles[name], keys, metadata)) throw new TufError('tuf_signature', name);
}

function checkVersion(name: string, named: MetaFile, { signed: { version } }: Metadata<TopRole>): void {
  if (version !== named.version)
    throw new TufError('tuf_version_mismatch', `${name} ${version} in place of ${named.version}`);
}

function checkFreshness(name: string, { signed }: Metadata<TopRole>, now: WallMs): void {
  if (now >= formats.expiryOf(signed)) throw new TufError('tuf_expired', `${name}, ${signed.expires}`);
}
