import { targetPathOf } from '@paddock/shared/manifest.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import { actAs, type Actor } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { DAY_MS, expiryOf, type Metadata, type TargetFile } from '../tuf/formats.ts';
import { dueOnline, newSnapshot, newTimestamp, type OnlineRole } from '../tuf/online.ts';
import { RepositoryError } from '../tuf/repository-error.ts';
import { checkRoot } from '../tuf/root.ts';
import { checkSigned, type Signer } from '../tuf/signatures.ts';
import {
  changesOf,
  checkCounter,
  checkTargets,
  checkWithdrawn,
  nameOf,
  type ReleaseId,
  type TargetsChanges,
} from '../tuf/targets.ts';
import { keepMetadata, lockRepository, published } from './metadata-store.ts';
import { markReleases, newestCounter, releaseAt } from './releases.ts';

/** The keys that the service holds for a role, of which the root names one. */
export type OnlineSigners = Readonly<Record<OnlineRole, readonly Signer[]>>;

/** Targets that people signed. */
export interface OfferedTargets {
  readonly targets: Metadata<'targets'>;
  /** Published releases that are not in them any more. */
  readonly withdraw: readonly ReleaseId[];
}

/** Roots that follow. */
export interface OfferedRoots {
  readonly roots: readonly Metadata<'root'>[];
  /** Go with them when the newest root names other keys than those that signed what is published. */
  readonly targets: OfferedTargets | null;
}

/**
 * Installs roots that follow, each signed by the one before, in a transaction.
 * @throws RepositoryError; then nothing is changed
 */
export async function installRoots(
  sql: Sql,
  actor: Actor,
  { roots, targets }: OfferedRoots,
  now: WallMs,
  signers: OnlineSigners,
): Promise<Metadata<'root'>> {
  await lockRepository(sql);
  let newest = (await published(sql)).root;
  for (const root of roots) {
    if (newest === null && root.signed.version !== 1)
      throw new RepositoryError('metadata_out_of_step', `root ${root.signed.version} without those before`);
    checkRoot(newest, root);
    await keepMetadata(sql, root);
    newest = root;
  }
  if (newest === null) throw new RepositoryError('firmware_root_missing');
  if (expiryOf(newest.signed) < now + DAY_MS)
    throw new RepositoryError('metadata_expired', `root, ${newest.signed.expires}`);
  for (const role of ['snapshot', 'timestamp'] as const) signerFor(role, newest, signers);
  if (targets !== null) await publishTargets(sql, actor, targets, now, signers);
  const { keys, roles } = newest.signed;
  const standing = (await published(sql)).targets;
  if (standing !== null) checkSigned(roles.targets, keys, standing, 'by the keys of targets that the new root names');
  await renewOnline(sql, now, signers);
  return newest;
}

/**
 * Publishes targets: what is new in them is released, what is gone is withdrawn if that was said.
 * @throws RepositoryError; then nothing is changed
 */
export async function publishTargets(
  sql: Sql,
  actor: Actor,
  { targets, withdraw }: OfferedTargets,
  now: WallMs,
  signers: OnlineSigners,
): Promise<TargetsChanges> {
  await lockRepository(sql);
  const { root, targets: before } = await published(sql);
  if (root === null) throw new RepositoryError('firmware_root_missing');
  checkTargets(root, before, targets, now);
  const changes = changesOf(before, targets);
  checkWithdrawn(changes, targets, withdraw);
  await actAs(sql, actor);
  for (const file of changes.added.toSorted((a, b) => a.custom.counter - b.custom.counter)) {
    await checkRelease(sql, file);
    await markReleases(sql, 'published_at', [file.custom], now);
  }
  const withdrawn = changes.withdrawn.map(({ custom }) => custom);
  await markReleases(sql, 'withdrawn_at', withdrawn, now);
  await keepMetadata(sql, targets);
  await renewOnline(sql, now, signers);
  return changes;
}

/** What was signed is what was uploaded, and newer than everything of its name. */
async function checkRelease(sql: Sql, { hashes, custom }: TargetFile): Promise<void> {
  checkCounter(custom, await newestCounter(sql, custom.name));
  const uploaded = await releaseAt(sql, custom.name, custom.counter);
  if (uploaded === null) throw new RepositoryError('bundle_missing', nameOf(custom));
  const said = [hashes.sha256, custom.version, ...custom.models];
  const is = [uploaded.sha256, uploaded.version, ...uploaded.models];
  if (said.join(' ') !== is.join(' ')) throw new RepositoryError('bundle_differs', targetPathOf(custom));
}

/**
 * Makes anew what the service signs itself, as far as that is due.
 * @returns what was made
 * @throws RepositoryError `online_key_foreign`
 */
export async function renewOnline(sql: Sql, now: WallMs, signers: OnlineSigners): Promise<OnlineRole[]> {
  await lockRepository(sql);
  const state = await published(sql);
  const due = dueOnline(state, now);
  const { root, targets, timestamp } = state;
  if (due.length === 0 || root === null || targets === null) return [];
  let { snapshot } = state;
  if (snapshot === null || due.includes('snapshot')) {
    snapshot = newSnapshot(targets, snapshot, now, signerFor('snapshot', root, signers));
    await keepMetadata(sql, snapshot);
  }
  await keepMetadata(sql, newTimestamp(snapshot, timestamp, now, signerFor('timestamp', root, signers)));
  return due;
}

function signerFor(role: OnlineRole, { signed }: Metadata<'root'>, signers: OnlineSigners): Signer {
  const { keyids } = signed.roles[role];
  const signer = signers[role].find(({ keyId }) => keyids.includes(keyId));
  if (signer === undefined) throw new RepositoryError('online_key_foreign', `${role} ${keyids.join(' ')}`);
  return signer;
}
