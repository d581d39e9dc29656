import { commandMissing, missingPrograms } from '@paddock/shared/bundle-commands.ts';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import { isFile, parseIndex, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import { parseManifest, type Manifest } from '@paddock/shared/manifest.ts';
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
import { joined, openPack, type OpenPack, type PackSource } from './pack-reader.ts';
import { UpdateError } from './update-error.ts';

/** One request brings as much. */
const SPAN_BYTES = 4_194_304;
/** Directories, links, and what a file takes beyond its bytes. */
const SPARE_BYTES_PER_FILE = 4_096;

export interface DownloadParts {
  readonly repository: Pick<Repository, 'part'>;
  readonly installer: Pick<Installer, 'kind' | 'content' | 'read' | 'freeBytes' | 'objects' | 'status'>;
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
  readonly slot: Slot;
  readonly index: Uint8Array;
  /** Of the index. */
  readonly sha256: string;
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
  // What only the plan needs is not held while objects come: the entries of two indexes are large.
  const { index, way } = await planned(parts, manifest, options, signal);
  await fetchObjects(parts, way, options.progress, signal);
  return index;
}

/** What there is to fetch, and from where. */
interface Way {
  readonly pack: PackSource;
  readonly missing: readonly PlannedObject[];
  /** Of the whole pack. */
  readonly bytes: number;
  /** The slot that runs; null: nothing of it is used. */
  readonly slot: Slot | null;
}

async function planned(
  parts: DownloadParts,
  manifest: Manifest,
  { isWhole, bytesPerSecond }: DownloadOptions,
  signal: AbortSignal,
): Promise<{ readonly index: Uint8Array; readonly way: Way }> {
  const running = isWhole ? null : await runningOf(parts.installer);
  const brake = createBrake(parts.clock, bytesPerSecond);
  const pack = await openPack(parts.repository, manifest.index.sha256, running?.sha256 ?? null, brake, signal);
  const index = await fetchIndex(parts, pack, manifest, running, signal);
  const entries = parseIndex(index);
  // Before its contents are paid for: what cannot be started is refused in its trial at the latest.
  const [missingProgram] = missingPrograms(manifest, entries);
  if (missingProgram !== undefined) throw commandMissing(missingProgram);
  const { objects, runs } = objectsOf(pack, entries, running);
  const missing = await missingOf(parts, pack, { objects, runs, index: manifest.index.sha256 });
  await checkSpace(parts.installer, manifest, missing, running);
  const { path, read } = pack;
  const way = { pack: { path, read }, missing, bytes: sumOf(objects), slot: running?.slot ?? null };
  return { index, way };
}

async function runningOf(installer: Pick<Installer, 'content'>): Promise<Running | null> {
  const content = await installer.content();
  if (content === null) return null;
  const { slot, index, manifest } = content;
  return { slot, index, sha256: sha256Of(index), bytes: parseManifest(manifest).bytes };
}

/** All objects of the pack, and the hashes of what runs where the pack does not come from it. */
function objectsOf(
  pack: OpenPack & { readonly isFrom: boolean },
  index: readonly IndexEntry[],
  running: Running | null,
): { readonly objects: readonly PlannedObject[]; readonly runs: ReadonlySet<string> } {
  const old = running === null ? null : parseIndex(running.index);
  const offset = pack.offset + pack.head.index.bytes;
  const objects = planPack(pack.head, index, pack.isFrom ? old : null, offset);
  const runs = pack.isFrom || old === null ? [] : old.filter(isFile).map(({ sha256 }) => sha256);
  return { objects, runs: new Set(runs) };
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

interface Wanted {
  readonly objects: readonly PlannedObject[];
  readonly runs: ReadonlySet<string>;
  /** The hash of the index. */
  readonly index: string;
}

/** What has to be fetched; everything that is of no use any more goes, so that it takes no room. */
async function missingOf(
  { installer }: DownloadParts,
  pack: OpenPack,
  { objects, runs, index }: Wanted,
): Promise<PlannedObject[]> {
  const digests = objects.map(({ sha256 }) => sha256);
  const onTheirWay = objects.filter((object) => !isSmall(object)).map(({ sha256 }) => sha256);
  const parts = [index, ...onTheirWay].map((sha256) => partKey(pack.path, sha256));
  await installer.objects.keepOnly(new Set([...digests, ...parts]));
  const have = await installer.objects.list();
  return objects.filter(({ sha256, size }) => have.get(sha256) !== size && !runs.has(sha256));
}

/**
 * Before the first byte: the objects, the largest of them once more as it is on its way, and what the slot that is
 * written grows by. What lies in that slot now is about what runs, where it holds anything. RAUC's slots have room of
 * their own.
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
  const inSlot = installer.kind === 'slots' ? growth : 0;
  const files = missing.length * SPARE_BYTES_PER_FILE;
  const needed = objects + onItsWay + inSlot + files;
  const free = await installer.freeBytes();
  if (needed > free) throw new UpdateError('update_no_space', `${needed} bytes are needed, ${free} are free`);
}

const sumOf = (objects: readonly PlannedObject[]): number => objects.reduce((sum, { bytes }) => sum + bytes, 0);

async function fetchObjects(
  { installer, zstd }: DownloadParts,
  { pack, missing, bytes: all, slot }: Way,
  progress: DownloadOptions['progress'],
  signal: AbortSignal,
): Promise<void> {
  let done = all - sumOf(missing);
  const came = (bytes: number): void => {
    done += bytes;
    progress(all === 0 ? 1 : Math.min(1, done / all));
  };
  came(0);
  const read: ObjectParts['read'] = async (...of) => (slot === null ? null : installer.read(slot, ...of));
  const parts: ObjectParts = { objects: installer.objects, read, zstd };
  for (const span of spansOf(missing, SPAN_BYTES)) await fetchSpan(parts, pack, span, signal, came);
}

async function fetchSpan(
  parts: ObjectParts,
  pack: PackSource,
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
