import type { Disk } from '../ports.ts';
import { formatFloor, parseFloor, raisedBySnapshot, raisedByTimestamp, type Floor } from './floor.ts';
import { parseSnapshot, parseTargets, parseTimestamp, type Metadata, type Root, type TopRole } from './formats.ts';
import { begin, checkSignature, firstRoot, sha256Of, type TrustedSet } from './trusted-set.ts';

/**
 * The store of trust. Metadata lie in it as they came and are verified again when they are read, so damage shows; only
 * verified ones are written. The root is there three times: as it is now, twice, and as it was pinned.
 */
export const TUF_FILES = {
  firstRoot: 'tuf-first-root.json',
  root: 'tuf-root.json',
  rootCopy: 'tuf-root-copy.json',
  timestamp: 'tuf-timestamp.json',
  snapshot: 'tuf-snapshot.json',
  targets: 'tuf-targets.json',
  floor: 'tuf-floor.json',
} as const;
type FileName = keyof typeof TUF_FILES;

/** Bounds of what is downloaded, and read again. */
export const MOST_BYTES = { root: 524_288, timestamp: 16_384, snapshot: 2_097_152, targets: 5_242_880 } as const;

export interface Stored {
  /** Null when there is no root that is whole. */
  readonly set: TrustedSet | null;
  /** As it lies on the disk; null when there is none that is whole. */
  readonly floor: Floor | null;
  /** Files that are there and are not what was written. */
  readonly damaged: readonly string[];
}

export async function readStore(disk: Pick<Disk, 'read'>): Promise<Stored> {
  const damaged: string[] = [];
  const whole = async <T>(file: FileName, most: number, read: (bytes: Uint8Array) => T): Promise<Awaited<T> | null> => {
    const bytes = await disk.read(TUF_FILES[file], most + 1);
    if (bytes === null) return null;
    try {
      return await read(bytes);
    } catch {
      damaged.push(TUF_FILES[file]);
      return null;
    }
  };
  const floor = await whole('floor', MOST_BYTES.snapshot, async (bytes) => wholeFloor(await parseFloor(bytes)));
  const first = await whole('firstRoot', MOST_BYTES.root, firstRoot);
  const roots = [await whole('root', MOST_BYTES.root, firstRoot), await whole('rootCopy', MOST_BYTES.root, firstRoot)];
  const root = newestOf([first, ...roots]);
  if (root === null) return { set: null, floor, damaged };
  let set = begin(root, floor?.pinned ?? (first && sha256Of(first.bytes)));
  if (floor) set = { ...set, floor };
  const timestamp = await whole('timestamp', MOST_BYTES.timestamp, signedBy(root, 'timestamp', parseTimestamp));
  if (timestamp) set = { ...set, timestamp, floor: raisedByTimestamp(set.floor, timestamp) };
  const snapshot = await whole('snapshot', MOST_BYTES.snapshot, signedBy(root, 'snapshot', parseSnapshot));
  if (snapshot) set = { ...set, snapshot, floor: raisedBySnapshot(set.floor, snapshot) };
  const targets = await whole('targets', MOST_BYTES.targets, signedBy(root, 'targets', parseTargets));
  return { set: { ...set, targets }, floor, damaged };
}

/** A reader of a role's file that verifies it again. */
const signedBy =
  <T extends Metadata<TopRole>>(root: Root, role: Exclude<TopRole, 'root'>, parse: (bytes: Uint8Array) => T) =>
  (bytes: Uint8Array): T => {
    const metadata = parse(bytes);
    checkSignature(role, root, metadata);
    return metadata;
  };

function wholeFloor(floor: Floor | null): Floor {
  if (floor === null) throw new Error('damaged');
  return floor;
}

const newestOf = (roots: readonly (Root | null)[]): Root | null =>
  roots.reduce((newest, root) => (root && root.signed.version > (newest?.signed.version ?? 0) ? root : newest), null);

export const keep = (disk: Disk, file: FileName, bytes: Uint8Array): Promise<void> =>
  disk.replace(TUF_FILES[file], bytes);

export const keepFloor = async (disk: Disk, floor: Floor): Promise<void> =>
  keep(disk, 'floor', await formatFloor(floor));

/** Both copies of the root become what is trusted; one that is whole already is not written. */
export async function mendRoots(disk: Disk, { bytes }: Root): Promise<void> {
  for (const file of ['root', 'rootCopy'] as const) {
    const found = await disk.read(TUF_FILES[file], MOST_BYTES.root + 1);
    if (found === null || Buffer.compare(found, bytes) !== 0) await keep(disk, file, bytes);
  }
}

/**
 * 5.3.11: forgets what keys that are gone have signed. The floor comes last: while it is the old one, the rotation is
 * found again after a power cut.
 */
export async function forgetOnline(disk: Disk, floor: Floor): Promise<void> {
  await disk.remove(TUF_FILES.timestamp);
  await disk.remove(TUF_FILES.snapshot);
  await keepFloor(disk, floor);
}
