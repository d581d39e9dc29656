import { createHash } from 'node:crypto';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import { MAX_DELTA_BYTES } from '@paddock/shared/pack.ts';
import type { ObjectStore, Zstd } from '../ports-firmware.ts';
import { joined, type PackSource } from './pack-reader.ts';
import type { PlannedObject } from './pack-plan.ts';
import { UpdateError } from './update-error.ts';

/** So much may be lost by a power cut: the rest is on the disk. */
export const CHUNK_BYTES = 262_144;
/** What is larger is never whole in memory, neither packed nor unpacked. */
const MOST_IN_MEMORY = 4_194_304;

export interface ObjectParts {
  readonly objects: ObjectStore;
  /** A file of what runs. */
  readonly read: (path: string, most: number) => Promise<Uint8Array | null>;
  readonly zstd: Zstd;
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What is on its way is kept by pack and object: another pack may have encoded it otherwise. */
export const partKey = (pack: string, sha256: string): string =>
  createHash('sha256').update(`${pack} ${sha256}`).digest('hex');

/** Whether it comes in one piece; others come by chunks that are kept, and alone. */
export const isSmall = ({ bytes, size }: Pick<PlannedObject, 'bytes' | 'size'>): boolean =>
  bytes <= CHUNK_BYTES && size <= MOST_IN_MEMORY;

/** Fetches small objects that lie together, in one request. @param done hears of each one that is kept */
export async function fetchSmall(
  parts: ObjectParts,
  pack: PackSource,
  objects: readonly PlannedObject[],
  signal: AbortSignal,
  done: (object: PlannedObject) => void,
): Promise<void> {
  const [first] = objects;
  if (first === undefined) return;
  const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
  const source = cutter(pack.read(first.offset, bytes, signal));
  try {
    for (const object of objects) {
      const content = await inflated(parts, object, await source.take(object.bytes));
      await parts.objects.put(object.sha256, content);
      done(object);
    }
  } finally {
    await source.close();
  }
}

interface Cutter {
  take(bytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Cuts a stream where one object ends and the next begins. */
function cutter(source: AsyncGenerator<Uint8Array>): Cutter {
  let rest: Uint8Array = new Uint8Array();
  return {
    async take(bytes) {
      const taken: Uint8Array[] = [];
      let missing = bytes;
      while (missing > 0) {
        if (rest.length === 0) {
          const next = await source.next();
          if (next.done === true) throw new BundleError('bundle_truncated', `${missing} bytes of an object`);
          rest = next.value;
        }
        const piece = rest.subarray(0, missing);
        rest = rest.subarray(piece.length);
        missing -= piece.length;
        taken.push(piece);
      }
      return taken.length === 1 && taken[0] ? taken[0] : Buffer.concat(taken);
    },
    close: async () => void (await source.return(undefined)),
  };
}

/** Fetches one object by chunks, from where it stopped the last time. @param came hears of bytes that are kept */
export async function fetchLarge(
  parts: ObjectParts,
  pack: PackSource,
  object: PlannedObject,
  signal: AbortSignal,
  came: (bytes: number) => void,
): Promise<void> {
  const key = partKey(pack.path, object.sha256);
  await fetchPart(parts.objects, pack, { ...object, key }, signal, came);
  try {
    if (object.encoding === 'delta') {
      const encoded = await joined(parts.objects.readPart(key));
      await parts.objects.put(object.sha256, await inflated(parts, object, encoded));
    } else await parts.objects.putStream(object.sha256, checked(object, decoded(parts, object, key)));
  } catch (cause) {
    // What came is wrong as it is: more of it would not help.
    if (cause instanceof BundleError) await parts.objects.dropPart(key);
    throw cause;
  }
  await parts.objects.dropPart(key);
}

/** A part of a pack, kept by chunks. */
export async function fetchPart(
  store: ObjectStore,
  pack: PackSource,
  { key, offset, bytes }: { readonly key: string; readonly offset: number; readonly bytes: number },
  signal: AbortSignal,
  came: (bytes: number) => void,
): Promise<void> {
  let have = await store.partBytes(key);
  if (have > bytes) {
    await store.dropPart(key);
    have = 0;
  }
  came(have);
  let waiting: Uint8Array[] = [];
  let held = 0;
  const keep = async (): Promise<void> => {
    if (held === 0) return;
    await store.appendPart(key, Buffer.concat(waiting));
    came(held);
    [waiting, held] = [[], 0];
  };
  try {
    for await (const piece of pack.read(offset + have, bytes - have, signal)) {
      waiting.push(piece);
      held += piece.length;
      if (held >= CHUNK_BYTES) await keep();
    }
  } finally {
    // Also of a connection that broke.
    await keep();
  }
}

const decoded = (parts: ObjectParts, { encoding, size }: PlannedObject, key: string): AsyncIterable<Uint8Array> => {
  const part = parts.objects.readPart(key);
  return encoding === 'plain' ? part : parts.zstd.inflateStream(part, size);
};

/** @throws BundleError when the content is not what the index says, before the object takes its place */
async function* checked(
  { sha256, size }: PlannedObject,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const piece of content) {
      bytes += piece.length;
      hash.update(piece);
      yield piece;
    }
  } catch (cause) {
    throw isOfDisk(cause) || cause instanceof BundleError ? cause : new BundleError('hash_mismatch', sha256, { cause });
  }
  if (bytes !== size) throw new BundleError('size_mismatch', sha256);
  if (hash.digest('hex') !== sha256) throw new BundleError('hash_mismatch', sha256);
}

/** What the system says of a disk tells nothing of what came. */
const isOfDisk = (cause: unknown): boolean => cause instanceof Error && 'syscall' in cause;

async function inflated(parts: ObjectParts, object: PlannedObject, encoded: Uint8Array): Promise<Uint8Array> {
  const dictionary = object.encoding === 'delta' ? await baseOf(parts, object) : undefined;
  return inflate(parts.zstd, object, encoded, dictionary);
}

/** @throws BundleError `hash_mismatch` or `size_mismatch` */
export function inflate(
  zstd: Zstd,
  { encoding, sha256, size }: Pick<PlannedObject, 'encoding' | 'sha256' | 'size'>,
  encoded: Uint8Array,
  dictionary?: Uint8Array,
): Uint8Array {
  const content = encoding === 'plain' ? encoded : inflatedBy(zstd, sha256, encoded, size, dictionary);
  if (content.length !== size) throw new BundleError('size_mismatch', sha256);
  if (sha256Of(content) !== sha256) throw new BundleError('hash_mismatch', sha256);
  return content;
}

function inflatedBy(
  zstd: Zstd,
  sha256: string,
  encoded: Uint8Array,
  size: number,
  dictionary?: Uint8Array,
): Uint8Array {
  try {
    return zstd.inflate(encoded, size, dictionary);
  } catch (cause) {
    if (cause instanceof BundleError) throw cause;
    throw new BundleError('hash_mismatch', sha256, { cause });
  }
}

/** @throws UpdateError `update_base_damaged` */
async function baseOf({ read }: ObjectParts, { base, size, sha256 }: PlannedObject): Promise<Uint8Array> {
  if (base === null || Math.max(base.size, size) > MAX_DELTA_BYTES)
    throw new BundleError('bundle_malformed', `a delta for ${sha256}`);
  const content = await read(base.path, base.size);
  if (content === null || sha256Of(content) !== base.sha256) throw new UpdateError('update_base_damaged', base.path);
  return content;
}
