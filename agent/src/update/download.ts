import { BundleError } from '@paddock/shared/bundle-error.ts';
import { isFile, parseIndex, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import type { Installer, Repository, Zstd } from '../ports-firmware.ts';
import type { Clock } from '../ports.ts';
import { createBrake } from './brake.ts';
import {
  fetchLarge,
  fetchPart,
  fetchSmall,
  inflate,
  isSmall,
  partKey,
  sha256Of,
  type ObjectParts,
} from './object-fetch.ts';
import { mostEncoded, planPack, spansOf, type PlannedObject } from './pack-plan.ts';
import { joined, openPack, type OpenPack } from './pack-reader.ts';
import { UpdateError } from './update-error.ts';

/** One request brings as much. */
const SPAN_BYTES = 4_194_304;
/** Directories, links, and what a file takes beyond its bytes. */
const SPARE_BYTES_PER_FILE = 4_096;

export interface DownloadParts {
  readonly repository: Pick<Repository, 'part'>;
  readonly installer: Pick<Installer, 'content' | 'read' | 'freeBytes' | 'objects' | 'status'>;
  readonly zstd: Zstd;
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
}

export interface DownloadOptions {
  /** Uses nothing of what runs. */
  readonly isWhole: boolean;
  readonly bytesPerSecond?: number | undefined;
  /** Hears how much of it is there, 0 to 1. */
  readonly progress: (share: number) => void;
}

interface Running {
  readonly index: Uint8Array;
  readonly sha256: string;
  readonly entries: readonly IndexEntry[];
  /** Of its payload. */
  readonly bytes: number;
}

/**
 * Brings everything of a release that is not there: into the object store, each object checked when it arrives. To be
 * called again after any interruption; what came is not fetched again.
 * @returns the index, verified
 * @throws FetchError, BundleError, UpdateError, InstallError, and what the disk throws
 */
export async function download(
  parts: DownloadParts,
  manifest: Manifest,
  options: DownloadOptions,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { installer, repository, clock } = parts;
  const running = options.isWhole ? null : await runningOf(installer);
  const brake = createBrake(clock, options.bytesPerSecond);
  const pack = await openPack(repository, manifest.index.sha256, running?.sha256 ?? null, brake, signal);
  const index = await fetchIndex(parts, pack, manifest, running, signal);
  const entries = parseIndex(index);
  const offset = pack.offset + pack.head.index.bytes;
  const planned = planPack(pack.head, entries, pack.isFrom ? (running?.entries ?? null) : null, offset);
  const missing = await missingOf(parts, pack, { planned, entries, running, index: manifest.index.sha256 });
  await checkSpace(installer, manifest, missing, running);
  await fetchObjects(parts, pack, { planned, missing, progress: options.progress }, signal);
  return index;
}

async function runningOf(installer: Pick<Installer, 'content'>): Promise<Running | null> {
  const content = await installer.content();
  if (content === null) return null;
  const { index } = content;
  const entries = parseIndex(index);
  const bytes = entries.filter(isFile).reduce((sum, { size }) => sum + size, 0);
  return { index, sha256: sha256Of(index), entries, bytes };
}

async function fetchIndex(
  { installer: { objects }, zstd }: DownloadParts,
  pack: OpenPack,
  { index: { sha256, bytes: size } }: Manifest,
  running: Running | null,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { bytes, encoding } = pack.head.index;
  const key = partKey(pack.path, sha256);
  if (bytes > mostEncoded(size) || (encoding === 'delta' && running === null))
    throw new BundleError('bundle_malformed', 'the part of the index');
  await fetchPart(objects, pack, { key, offset: pack.offset, bytes }, signal, () => {});
  try {
    const encoded = await joined(objects.readPart(key));
    return inflate(zstd, { encoding, sha256, size }, encoded, encoding === 'delta' ? running?.index : undefined);
  } catch (cause) {
    if (cause instanceof BundleError) await objects.dropPart(key);
    throw cause;
  }
}

interface Plan {
  readonly planned: readonly PlannedObject[];
  readonly entries: readonly IndexEntry[];
  readonly running: Running | null;
  /** Its hash. */
  readonly index: string;
}

/** What has to be fetched; everything that is of no use any more goes, so that it takes no room. */
async function missingOf(
  { installer: { objects } }: DownloadParts,
  pack: OpenPack,
  { planned, entries, running, index }: Plan,
): Promise<PlannedObject[]> {
  const digests = entries.filter(isFile).map(({ sha256 }) => sha256);
  const onTheirWay = planned.filter((object) => !isSmall(object)).map(({ sha256 }) => sha256);
  const parts = [index, ...onTheirWay].map((sha256) => partKey(pack.path, sha256));
  await objects.keepOnly(new Set([...digests, ...parts]));
  const have = await objects.list();
  const runs = new Set((running?.entries ?? []).filter(isFile).map(({ sha256 }) => sha256));
  return planned.filter(({ sha256, size }) => have.get(sha256) !== size && !runs.has(sha256));
}

/**
 * Before the first byte: the objects, the largest of them once more as it is on its way, and what the slot that is
 * written grows by. What lies in that slot now is about what runs, where it holds anything.
 */
async function checkSpace(
  installer: DownloadParts['installer'],
  manifest: Manifest,
  missing: readonly PlannedObject[],
  running: Running | null,
): Promise<void> {
  const objects = missing.reduce((sum, { size }) => sum + size, 0);
  const onItsWay = missing.reduce((most, { bytes }) => Math.max(most, bytes), 0);
  const isFilled = (await installer.status()).other !== null;
  const growth = Math.max(0, manifest.bytes - (isFilled ? (running?.bytes ?? 0) : 0));
  const files = missing.length * SPARE_BYTES_PER_FILE;
  const needed = objects + onItsWay + growth + files;
  const free = await installer.freeBytes();
  if (needed > free) throw new UpdateError('update_no_space', `${needed} bytes are needed, ${free} are free`);
}

async function fetchObjects(
  { installer, zstd }: DownloadParts,
  pack: OpenPack,
  {
    planned,
    missing,
    progress,
  }: { planned: readonly PlannedObject[]; missing: readonly PlannedObject[] } & Pick<DownloadOptions, 'progress'>,
  signal: AbortSignal,
): Promise<void> {
  const sumOf = (objects: readonly PlannedObject[]): number => objects.reduce((sum, { bytes }) => sum + bytes, 0);
  const all = sumOf(planned);
  let done = all - sumOf(missing);
  const came = (bytes: number): void => {
    done += bytes;
    progress(all === 0 ? 1 : Math.min(1, done / all));
  };
  came(0);
  const parts: ObjectParts = { objects: installer.objects, read: (...of) => installer.read(...of), zstd };
  for (const span of spansOf(missing, SPAN_BYTES)) await fetchSpan(parts, pack, span, signal, came);
}

async function fetchSpan(
  parts: ObjectParts,
  pack: OpenPack,
  span: readonly PlannedObject[],
  signal: AbortSignal,
  came: (bytes: number) => void,
): Promise<void> {
  const small: PlannedObject[] = [];
  for (const object of span) {
    if (isSmall(object)) {
      small.push(object);
      continue;
    }
    await fetchSmall(parts, pack, small.splice(0), signal, ({ bytes }) => came(bytes));
    await fetchLarge(parts, pack, object, signal, came);
  }
  await fetchSmall(parts, pack, small, signal, ({ bytes }) => came(bytes));
}
