import {
  formatPackHead,
  MAX_DELTA_BYTES,
  MAX_PACK_HEAD_BYTES,
  packObjects,
  type PackEncoding,
  type PackObject,
  type PackPart,
} from '@paddock/shared/pack.ts';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import type { Spool } from '../ports.ts';
import type { Bundle } from './bundle.ts';
import { held } from './content.ts';
import { compress, compressDelta } from './zstd.ts';

type Encoded = { readonly encoding: PackEncoding; readonly content: Uint8Array };

/**
 * Makes the pack that brings a device from one bundle to another; the same bundles make the same pack.
 * @param from null: it has nothing @param spool holds the parts until the head before them is known; closed by its owner
 */
export async function* makePack(to: Bundle, from: Bundle | null, spool: Spool): AsyncGenerator<Uint8Array> {
  const index = await encodeIndex(to, from);
  await spool.write(index.content);
  const objects: PackPart[] = [];
  for (const object of packObjects(to.entries, from?.entries ?? null))
    objects.push(await writeObject(object, to, from, spool));
  const head = formatPackHead({ index: partOf(index), objects });
  if (head.length > MAX_PACK_HEAD_BYTES) throw new BundleError('index_too_large', 'the head of its pack');
  yield head;
  yield* spool.read();
}

const partOf = ({ encoding, content }: Encoded): PackPart => ({ bytes: content.length, encoding });

async function encodeIndex({ indexBytes }: Bundle, from: Bundle | null): Promise<Encoded> {
  const encoded: Encoded[] = [
    { encoding: 'plain', content: indexBytes },
    { encoding: 'zstd', content: await compress(indexBytes) },
  ];
  if (from !== null) encoded.push({ encoding: 'delta', content: await compressDelta(indexBytes, from.indexBytes) });
  return shortest(encoded);
}

/** The simplest of those that are as short. */
const shortest = (encoded: readonly Encoded[]): Encoded =>
  encoded.reduce((best, each) => (each.content.length < best.content.length ? each : best));

async function writeObject(object: PackObject, to: Bundle, from: Bundle | null, spool: Spool): Promise<PackPart> {
  const packed = to.packedObject(object.sha256);
  const delta = await deltaOf(object, to, from);
  if (delta !== null && delta.length < packed.bytes) {
    await spool.write(delta);
    return { bytes: delta.length, encoding: 'delta' };
  }
  for await (const piece of packed.read()) await spool.write(piece);
  return { bytes: packed.bytes, encoding: packed.encoding };
}

async function deltaOf(
  { sha256, size, base }: PackObject,
  to: Bundle,
  from: Bundle | null,
): Promise<Uint8Array | null> {
  if (from === null || base === null || size === 0 || Math.max(size, base.size) > MAX_DELTA_BYTES) return null;
  return compressDelta(await held(to.object(sha256)), await held(from.object(base.sha256)));
}
