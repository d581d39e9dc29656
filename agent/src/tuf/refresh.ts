import type { WallMs } from '@paddock/shared/time.ts';
import type { Repository } from '../ports-firmware.ts';
import type { Disk } from '../ports.ts';
import type { MetaFile, TopRole } from './formats.ts';
import { forgetOnline, keep, mendRoots, MOST_BYTES } from './store.ts';
import {
  currentSnapshot,
  currentTargets,
  snapshotFile,
  targetsFile,
  withLastRoot,
  withRoot,
  withSnapshot,
  withTargets,
  withTimestamp,
  type TrustedSet,
} from './trusted-set.ts';
import { TufError } from './tuf-error.ts';

/** 5.3.3: how many versions of the root one refresh walks; the next one goes on from there. */
const MOST_ROOTS = 256;

export interface RefreshParts {
  readonly disk: Disk;
  readonly repository: Repository;
}

/**
 * The workflow of section 5, from 5.3 to 5.6.6. Each set that it yields is on the disk already, so what comes before an
 * error is kept; the files are written in an order in which each stands without those behind it.
 */
export async function* refreshSteps(
  parts: RefreshParts,
  begun: TrustedSet,
  now: WallMs,
  signal: AbortSignal,
): AsyncGenerator<TrustedSet> {
  const { disk, repository } = parts;
  let set = yield* walkRoots(parts, begun, signal);
  await mendRoots(disk, set.root);
  const last = withLastRoot(set, now);
  if (last.isRotated) await forgetOnline(disk, last.set.floor);
  yield (set = last.set);

  const timestamp = found(await repository.get('metadata/timestamp.json', MOST_BYTES.timestamp, signal), 'timestamp');
  const newer = withTimestamp(set, timestamp, now);
  // 5.4.5
  if (newer !== set) await keep(disk, 'timestamp', timestamp);
  yield (set = newer);

  const known = currentSnapshot(set);
  const snapshot = known?.bytes ?? (await fetchMetadata(repository, set, 'snapshot', snapshotFile(set), signal));
  const named = withSnapshot(set, snapshot, now);
  // 5.5.7
  if (!known) await keep(disk, 'snapshot', snapshot);
  yield (set = named);

  const held = currentTargets(set);
  const targets = held?.bytes ?? (await fetchMetadata(repository, set, 'targets', targetsFile(set), signal));
  set = withTargets(set, targets, now);
  // 5.6.6
  if (!held) await keep(disk, 'targets', targets);
  yield set;
}

async function* walkRoots(
  { disk, repository }: RefreshParts,
  begun: TrustedSet,
  signal: AbortSignal,
): AsyncGenerator<TrustedSet, TrustedSet> {
  let set = begun;
  for (let walked = 0; walked < MOST_ROOTS; walked += 1) {
    const path = `metadata/${set.root.signed.version + 1}.root.json`;
    const bytes = await repository.get(path, MOST_BYTES.root, signal);
    const next = bytes ? withRoot(set, bytes) : set;
    if (next === set) return set;
    // 5.3.8
    await keep(disk, 'root', next.root.bytes);
    yield (set = next);
  }
  return set;
}

/** @param name of a role: the name of its file is made of it, whatever characters it has */
export async function fetchMetadata(
  repository: Repository,
  { root }: TrustedSet,
  name: Exclude<TopRole, 'root'> | (string & {}),
  { version, length }: MetaFile,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const prefix = root.signed.consistent_snapshot === true ? `${version}.` : '';
  const bound = name === 'snapshot' ? MOST_BYTES.snapshot : MOST_BYTES.targets;
  if (length !== undefined && length > bound) throw new TufError('tuf_length', `${name}, ${length} bytes`);
  const path = `metadata/${prefix}${encodeURIComponent(name)}.json`;
  return found(await repository.get(path, length ?? bound, signal), name);
}

export function found(bytes: Uint8Array | null, name: string): Uint8Array {
  if (bytes === null) throw new TufError('tuf_missing', name);
  return bytes;
}
