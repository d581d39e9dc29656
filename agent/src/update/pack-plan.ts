import { BundleError } from '@paddock/shared/bundle-error.ts';
import type { IndexEntry } from '@paddock/shared/bundle-index.ts';
import { packObjects, type PackEncoding, type PackHead, type PackObject, type PackPart } from '@paddock/shared/pack.ts';

/** One object of a pack, and where it lies in it. */
export interface PlannedObject extends PackObject {
  readonly encoding: PackEncoding;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * @param entries of the new index, whose hash was verified
 * @param from of the index that the pack comes from; null: from nothing
 * @param offset where the objects begin
 * @throws BundleError `bundle_malformed` when the head is not of a pack between these two
 */
export function planPack(
  head: PackHead,
  entries: readonly IndexEntry[],
  from: readonly IndexEntry[] | null,
  offset: number,
): PlannedObject[] {
  const objects = packObjects(entries, from);
  if (objects.length !== head.objects.length)
    throw new BundleError('bundle_malformed', `${head.objects.length} objects in place of ${objects.length}`);
  let at = offset;
  return objects.map((object, n) => {
    const part = head.objects[n] ?? { bytes: 0, encoding: 'plain' };
    checkPart(object, part);
    const planned = { ...object, ...part, offset: at };
    at += part.bytes;
    return planned;
  });
}

/** No data without an end: nothing is encoded in more than it holds, but for a frame around it. */
function checkPart({ size, base, sha256 }: PackObject, { bytes, encoding }: PackPart): void {
  const most = encoding === 'plain' ? size : mostEncoded(size);
  if (bytes > most || (encoding === 'plain' && bytes !== size) || (encoding === 'delta' && base === null))
    throw new BundleError('bundle_malformed', `the part of ${sha256}`);
}

/** ZSTD_compressBound, rounded up. */
export const mostEncoded = (size: number): number => size + Math.ceil(size / 128) + 1024;

/** Neighbours together, up to so many bytes: each is one request. @param objects in their order, those that are needed */
export function spansOf(objects: readonly PlannedObject[], mostBytes: number): PlannedObject[][] {
  const spans: PlannedObject[][] = [];
  for (const object of objects) {
    const span = spans.at(-1);
    const [first, last] = [span?.[0], span?.at(-1)];
    const isNext = first && last && object.offset === last.offset + last.bytes;
    if (span && isNext && object.offset + object.bytes - first.offset <= mostBytes) span.push(object);
    else spans.push([object]);
  }
  return spans;
}
