import { createHash } from 'node:crypto';
import { targetPathOf, type Manifest } from '@paddock/shared/manifest.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import {
  EXPIRY_DAYS,
  expiresAt,
  expiryOf,
  SPEC_VERSION,
  versionAfter,
  type Metadata,
  type TargetFile,
} from './formats.ts';
import { RepositoryError } from './repository-error.ts';
import { signersOf, checkSigned } from './signatures.ts';
import type { Progress } from './root.ts';

/** A release as its bundle says it: its manifest, and the bytes of that. */
export interface Offered {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
}

export const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** What targets metadata say of a release. */
export function targetOf({ manifest, manifestBytes }: Offered): TargetFile {
  const { name, version, counter, models } = manifest;
  return {
    length: manifestBytes.length,
    hashes: { sha256: sha256Of(manifestBytes) },
    custom: { name, version, counter, models: [...models] },
  };
}

/** Where a target lies in a repository with consistent snapshots (6.2). */
export const targetFileOf = (path: string, { hashes }: Pick<TargetFile, 'hashes'>): string =>
  `targets/${path.replace(/[^/]*$/, (name) => `${hashes.sha256}.${name}`)}`;

export type ReleaseId = Pick<Manifest, 'name' | 'counter'>;

/** What the next targets say otherwise; nothing: they are good for longer. */
export interface TargetsChange {
  readonly add?: readonly Offered[];
  readonly withdraw?: readonly ReleaseId[];
}

/**
 * The targets that follow, unsigned.
 * @throws RepositoryError `release_exists`, `release_counter`, `release_unknown`
 */
export function nextTargets(
  previous: Metadata<'targets'> | null,
  { add = [], withdraw = [] }: TargetsChange,
  now: WallMs,
): Metadata<'targets'> {
  const targets = new Map(Object.entries(previous?.signed.targets ?? {}));
  for (const release of withdraw)
    if (!targets.delete(targetPathOf(release))) throw new RepositoryError('release_unknown', nameOf(release));
  for (const offered of add) {
    const { manifest } = offered;
    if (targets.has(targetPathOf(manifest))) throw new RepositoryError('release_exists', nameOf(manifest));
    checkCounter(manifest, newestCounter(targets.values(), manifest.name));
    targets.set(targetPathOf(manifest), targetOf(offered));
  }
  return {
    signatures: [],
    signed: {
      _type: 'targets',
      spec_version: SPEC_VERSION,
      version: versionAfter(previous?.signed.version ?? null, now),
      expires: expiresAt(now, EXPIRY_DAYS.targets),
      targets: Object.fromEntries([...targets].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

export const nameOf = ({ name, counter }: ReleaseId): string => `${name} ${counter}`;

const newestCounter = (targets: Iterable<TargetFile>, name: string): number =>
  Math.max(0, ...[...targets].map(({ custom }) => (custom.name === name ? custom.counter : 0)));

/** @param newest of the name, withdrawn ones included. @throws RepositoryError `release_counter` */
export function checkCounter(release: ReleaseId, newest: number): void {
  if (release.counter <= newest) throw new RepositoryError('release_counter', `${nameOf(release)} after ${newest}`);
}

export interface TargetsChanges {
  readonly added: readonly TargetFile[];
  readonly withdrawn: readonly TargetFile[];
}

/** @throws RepositoryError `release_exists` when a target is another one now, `metadata_malformed` */
export function changesOf(previous: Metadata<'targets'> | null, next: Metadata<'targets'>): TargetsChanges {
  const before = previous?.signed.targets ?? {};
  const after = next.signed.targets;
  for (const [path, file] of Object.entries(after)) {
    if (path !== targetPathOf(file.custom)) throw new RepositoryError('metadata_malformed', `${path} is no release`);
    const known = Object.hasOwn(before, path) ? before[path] : undefined;
    if (known && known.hashes.sha256 !== file.hashes.sha256) throw new RepositoryError('release_exists', path);
  }
  return {
    added: Object.entries(after).flatMap(([path, file]) => (Object.hasOwn(before, path) ? [] : [file])),
    withdrawn: Object.entries(before).flatMap(([path, file]) => (Object.hasOwn(after, path) ? [] : [file])),
  };
}

/**
 * Whether what is gone is what is to be withdrawn: a release that is left out may as well have been published by somebody
 * else after these targets were made.
 * @throws RepositoryError `release_left_out`, `release_kept`, `release_unknown`
 */
export function checkWithdrawn(
  { withdrawn }: TargetsChanges,
  next: Metadata<'targets'>,
  said: readonly ReleaseId[],
): void {
  const named = new Set(said.map(targetPathOf));
  const leftOut = withdrawn.filter(({ custom }) => !named.delete(targetPathOf(custom)));
  if (leftOut.length > 0)
    throw new RepositoryError('release_left_out', leftOut.map(({ custom }) => nameOf(custom)).join(', '));
  for (const path of named)
    throw new RepositoryError(Object.hasOwn(next.signed.targets, path) ? 'release_kept' : 'release_unknown', path);
}

/**
 * Whether targets may follow: signed by a threshold of the root's keys, newer, and good for a day at least.
 * @throws RepositoryError
 */
export function checkTargets(
  { signed: { keys, roles } }: Metadata<'root'>,
  previous: Metadata<'targets'> | null,
  next: Metadata<'targets'>,
  now: WallMs,
): void {
  checkSigned(roles.targets, keys, next, 'by keys of targets: `paddock release add-signature` adds one');
  const [was, is] = [previous?.signed.version ?? 0, next.signed.version];
  if (is === was) throw new RepositoryError('metadata_out_of_step', `targets ${is} ${alreadyText(previous, next)}`);
  if (is < was)
    throw new RepositoryError('metadata_out_of_step', `targets ${is} are older than ${was}: make and sign them anew`);
  if (expiryOf(next.signed) < now + LEAST_MS)
    throw new RepositoryError('metadata_expired', `targets, ${next.signed.expires}`);
}
const LEAST_MS = 86_400_000;

/** A version is the second in which it was made: two people may have made one. */
const alreadyText = (previous: Metadata<'targets'> | null, next: Metadata<'targets'>): string =>
  JSON.stringify(previous?.signed) === JSON.stringify(next.signed)
    ? 'are published already: nothing is left to do, `paddock devices assign` hands out what they release'
    : 'are published with another content: make and sign them anew';

export function progressOfTargets({ signed }: Metadata<'root'>, targets: Metadata<'targets'>): Progress[] {
  const { keys, roles, version } = signed;
  return [
    {
      by: `targets, as root ${version} says`,
      signed: signersOf(roles.targets, keys, targets),
      threshold: roles.targets.threshold,
    },
  ];
}
