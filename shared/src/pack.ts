import { BundleError } from './bundle-error.ts';
import { isFile, type IndexedFile, type IndexEntry } from './bundle-index.ts';

/**
 * A pack is one file that brings what a device does not have: the index of a release, and every object (the content of
 * files) that is in it and not in the release that the device comes from.
 *
 *     "PDKPACK1"  length of the head: 4 bytes, big-endian  head  index  object  object ...
 *
 * The head is JSON: `{"v":1,"index":[bytes,encoding],"objects":[[bytes,encoding],...]}`. Objects come in the order in
 * which the new index names them first, so the head need not name them. Nothing of a pack is believed: what it brings is
 * held against the hash of the manifest or the index.
 */
export const PACK_MAGIC = 'PDKPACK1';
export const PACK_PREFIX_BYTES = PACK_MAGIC.length + 4;
/** Each object takes a few characters of the head. */
export const MAX_PACK_HEAD_BYTES = 4_194_304;

/** An object that is longer, or whose old content is, comes without a delta: a device holds both in memory to inflate one. */
export const MAX_DELTA_BYTES = 8_388_608;

/** How a part of a pack is written: `zstd` alone, `delta`: zstd with the base as its dictionary, `plain`: as it is. */
export const PACK_ENCODINGS = ['plain', 'zstd', 'delta'] as const;
export type PackEncoding = (typeof PACK_ENCODINGS)[number];

export interface PackPart {
  readonly bytes: number;
  readonly encoding: PackEncoding;
}
export interface PackHead {
  readonly index: PackPart;
  readonly objects: readonly PackPart[];
}

/** What a pack brings: an object, and the content that its delta is made against, where there is one. */
export interface PackObject {
  readonly sha256: string;
  readonly size: number;
  /** The file of the old index at the path where the object is named first; null when there is none. */
  readonly base: Pick<IndexedFile, 'path' | 'sha256' | 'size'> | null;
}

/**
 * The objects of a pack, in their order: those of the new index that the old one does not have.
 * @param from the index of the release that the device has; null for a pack that brings everything
 */
export function packObjects(to: readonly IndexEntry[], from: readonly IndexEntry[] | null): PackObject[] {
  const old = new Map((from ?? []).filter(isFile).map((file) => [file.path, file]));
  const known = new Set([...old.values()].map(({ sha256 }) => sha256));
  const objects: PackObject[] = [];
  for (const { path, sha256, size } of to.filter(isFile)) {
    if (known.has(sha256)) continue;
    known.add(sha256);
    objects.push({ sha256, size, base: old.get(path) ?? null });
  }
  return objects;
}

/** Where packs lie in a repository: by the hashes of the indexes. @param from null: everything */
export const packPathOf = (to: string, from: string | null): string =>
  `packs/${to}/${from === null ? 'all' : `from-${from}`}.pack`;

export function formatPackHead({ index, objects }: PackHead): Uint8Array {
  const part = ({ bytes, encoding }: PackPart): [number, number] => [bytes, PACK_ENCODINGS.indexOf(encoding)];
  const text = JSON.stringify({ v: 1, index: part(index), objects: objects.map(part) });
  const head = new TextEncoder().encode(text);
  const bytes = new Uint8Array(PACK_PREFIX_BYTES + head.length);
  bytes.set(new TextEncoder().encode(PACK_MAGIC));
  new DataView(bytes.buffer).setUint32(PACK_MAGIC.length, head.length);
  bytes.set(head, PACK_PREFIX_BYTES);
  return bytes;
}

/**
 * @param prefix the first {@link PACK_PREFIX_BYTES} bytes of a pack
 * @returns the length of its head @throws BundleError `bundle_malformed`
 */
export function packHeadBytes(prefix: Uint8Array): number {
  if (prefix.length < PACK_PREFIX_BYTES) throw new BundleError('bundle_malformed', 'a pack without a beginning');
  const magic = new TextDecoder('latin1').decode(prefix.subarray(0, PACK_MAGIC.length));
  const bytes = new DataView(prefix.buffer, prefix.byteOffset).getUint32(PACK_MAGIC.length);
  if (magic !== PACK_MAGIC || bytes > MAX_PACK_HEAD_BYTES) throw new BundleError('bundle_malformed', 'not a pack');
  return bytes;
}

/** @param head the bytes behind the prefix @throws BundleError `bundle_malformed` */
export function parsePackHead(head: Uint8Array): PackHead {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(head));
    const { v, index, objects } = value as Readonly<Record<string, unknown>>;
    if (v !== 1 || !Array.isArray(objects)) throw new BundleError('bundle_malformed', 'a head of another version');
    return { index: parsePart(index), objects: objects.map(parsePart) };
  } catch (cause) {
    if (cause instanceof BundleError) throw cause;
    throw new BundleError('bundle_malformed', 'the head of a pack', { cause });
  }
}

function parsePart(value: unknown): PackPart {
  const [bytes, at] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  const encoding = typeof at === 'number' ? PACK_ENCODINGS[at] : undefined;
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0 || encoding === undefined)
    throw new BundleError('bundle_malformed', 'a part of a pack');
  return { bytes, encoding };
}
