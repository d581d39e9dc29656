import type { WallMs } from '@paddock/shared/time.ts';
import {
  EXPIRY_DAYS,
  expiresAt,
  expiryOf,
  formatMetadata,
  DAY_MS,
  SPEC_VERSION,
  versionAfter,
  type Metadata,
  type RoleName,
} from './formats.ts';
import { checkSigned, withSignature, type Signer } from './signatures.ts';
import { sha256Of } from './targets.ts';

/** Roles that the service signs by itself. */
export const ONLINE_ROLES = ['snapshot', 'timestamp'] as const;
export type OnlineRole = (typeof ONLINE_ROLES)[number];

/** What is published. */
export interface Published {
  readonly root: Metadata<'root'> | null;
  readonly targets: Metadata<'targets'> | null;
  readonly snapshot: Metadata<'snapshot'> | null;
  readonly timestamp: Metadata<'timestamp'> | null;
}

/** What says of the other that it is the newest, by its whole content. */
const metaOf = (metadata: Metadata<RoleName>) => {
  const text = formatMetadata(metadata);
  return { version: metadata.signed.version, length: Buffer.byteLength(text), hashes: { sha256: sha256Of(text) } };
};

/**
 * Which online metadata have to be made anew: when they name something older, when their key has no longer the role, and
 * well before they expire (half of their time), so that a service that is away for a while is missed by nobody.
 */
export function dueOnline({ root, targets, snapshot, timestamp }: Published, now: WallMs): OnlineRole[] {
  if (root === null || targets === null) return [];
  const isSnapshotDue =
    snapshot === null ||
    snapshot.signed.meta['targets.json'].version !== targets.signed.version ||
    isDue('snapshot', root, snapshot, now);
  if (isSnapshotDue) return ['snapshot', 'timestamp'];
  const isTimestampDue =
    timestamp === null ||
    timestamp.signed.meta['snapshot.json'].version !== snapshot.signed.version ||
    isDue('timestamp', root, timestamp, now);
  return isTimestampDue ? ['timestamp'] : [];
}

function isDue(role: OnlineRole, root: Metadata<'root'>, metadata: Metadata<OnlineRole>, now: WallMs): boolean {
  const halfMs = (EXPIRY_DAYS[role] * DAY_MS) / 2;
  const leftMs = expiryOf(metadata.signed) - now;
  // A clock that was ahead when they were made leaves too much: they would not expire when they should.
  if (leftMs < halfMs || leftMs > 2 * halfMs + 3_600_000) return true;
  try {
    checkSigned(root.signed.roles[role], root.signed.keys, metadata, 'online');
    return false;
  } catch {
    return true;
  }
}

export function newSnapshot(
  targets: Metadata<'targets'>,
  previous: Metadata<'snapshot'> | null,
  now: WallMs,
  signer: Signer,
): Metadata<'snapshot'> {
  const signed = {
    _type: 'snapshot' as const,
    spec_version: SPEC_VERSION,
    version: versionAfter(previous?.signed.version ?? null, now),
    expires: expiresAt(now, EXPIRY_DAYS.snapshot),
    meta: { 'targets.json': metaOf(targets) },
  } as const;
  return withSignature<Metadata<'snapshot'>>({ signatures: [], signed }, signer);
}

export function newTimestamp(
  snapshot: Metadata<'snapshot'>,
  previous: Metadata<'timestamp'> | null,
  now: WallMs,
  signer: Signer,
): Metadata<'timestamp'> {
  const signed = {
    _type: 'timestamp' as const,
    spec_version: SPEC_VERSION,
    version: versionAfter(previous?.signed.version ?? null, now),
    expires: expiresAt(now, EXPIRY_DAYS.timestamp),
    meta: { 'snapshot.json': metaOf(snapshot) },
  } as const;
  return withSignature<Metadata<'timestamp'>>({ signatures: [], signed }, signer);
}
