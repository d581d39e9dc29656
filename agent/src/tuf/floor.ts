import { sha256Base64url } from '@paddock/shared/base64url.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import type { Root, Snapshot, Timestamp } from './formats.ts';

const Version = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Shape = Type.Object({
  /** SHA-256 of the first root, hex; null when it was lost together with this file. */
  pinned: Type.Union([Type.Null(), Type.String()]),
  root: Version,
  /** The keys of timestamp and snapshot that the versions below come from. */
  keys: Type.Array(Type.String()),
  timestamp: Version,
  snapshot: Version,
  /** Of every file of targets that a snapshot listed. */
  targets: Type.Record(Type.String(), Version, { additionalProperties: false }),
});

/**
 * Versions below which nothing is trusted again, whatever becomes of the files that they were read from.
 * Invariant: no lower than any metadata that are trusted; only a rotation of online keys takes it back (5.3.11).
 */
export type Floor = Static<typeof Shape>;

/** For a root under whose keys nothing was seen yet. */
export const floorUnder = (root: Root, pinned: string | null): Floor => ({
  pinned,
  root: root.signed.version,
  keys: onlineKeysOf(root),
  timestamp: 0,
  snapshot: 0,
  targets: {},
});

/**
 * 5.3.11: whether a key is gone that the floor's versions may come from. A stolen key can sign any version; once it is
 * gone they bind nobody. A key that only came takes nothing back: replays by the keys that stay would be open to all.
 */
export function isRotated(floor: Floor, root: Root): boolean {
  const now = new Set(onlineKeysOf(root));
  return floor.keys.some((key) => !now.has(key));
}

const onlineKeysOf = ({ signed: { roles } }: Root): string[] =>
  (['timestamp', 'snapshot'] as const).flatMap((role) => roles[role].keyids.map((id) => `${role} ${id}`)).toSorted();

export const raisedByRoot = (floor: Floor, root: Root): Floor => ({
  ...floor,
  root: Math.max(floor.root, root.signed.version),
  keys: [...new Set([...floor.keys, ...onlineKeysOf(root)])].toSorted(),
});

export const raisedByTimestamp = (floor: Floor, { signed }: Timestamp): Floor => ({
  ...floor,
  timestamp: Math.max(floor.timestamp, signed.version),
  snapshot: Math.max(floor.snapshot, signed.meta['snapshot.json'].version),
});

export const raisedBySnapshot = (floor: Floor, { signed: { meta } }: Snapshot): Floor => ({
  ...floor,
  targets: {
    ...floor.targets,
    ...Object.fromEntries(
      Object.entries(meta).map(([name, { version }]) => {
        const before = Object.hasOwn(floor.targets, name) ? floor.targets[name] : undefined;
        return [name, Math.max(version, before ?? 0)];
      }),
    ),
  },
});

/** Null where there is none, or none that is whole. */
export async function parseFloor(bytes: Uint8Array | null): Promise<Floor | null> {
  const [line = '', check = ''] = new TextDecoder().decode(bytes ?? new Uint8Array()).split('\n');
  if (line === '' || check !== (await checkOf(line))) return null;
  const value: unknown = JSON.parse(line);
  return Check(Shape, value) ? value : null;
}

export async function formatFloor(floor: Floor): Promise<Uint8Array> {
  const line = JSON.stringify(floor);
  return new TextEncoder().encode(`${line}\n${await checkOf(line)}\n`);
}

/** Tells damage, not forgery: the file is the device's own. */
const checkOf = async (line: string): Promise<string> =>
  (await sha256Base64url(`paddock-tuf-floor ${line}`)).slice(0, 22);
