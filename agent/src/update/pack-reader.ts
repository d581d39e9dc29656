import { BundleError } from '@paddock/shared/bundle-error.ts';
import { PACK_PREFIX_BYTES, packHeadBytes, packPathOf, parsePackHead, type PackHead } from '@paddock/shared/pack.ts';
import { FetchError, type Repository } from '../ports-firmware.ts';

/** Fetched at once: of a small change it is all there is. */
const BEGINNING_BYTES = 65_536;

/** A pack in a repository. */
export interface OpenPack {
  readonly path: string;
  readonly head: PackHead;
  /** Where the part of the index begins. */
  readonly offset: number;
  /** @throws FetchError, BundleError `bundle_truncated` when the pack ends before */
  readonly read: (from: number, bytes: number, signal: AbortSignal) => AsyncGenerator<Uint8Array>;
}

/** Where its objects come from. */
export type PackSource = Pick<OpenPack, 'path' | 'read'>;

/** What the fetching of a pack is slowed down by. */
export type Brake = (bytes: number, signal: AbortSignal) => Promise<void>;

/**
 * The pack that brings least: from the release that is there, or everything.
 * @param from the hash of the index of what runs; null: nothing of it is used
 * @throws FetchError, BundleError
 */
export async function openPack(
  repository: Pick<Repository, 'part'>,
  to: string,
  from: string | null,
  brake: Brake,
  signal: AbortSignal,
): Promise<OpenPack & { readonly isFrom: boolean }> {
  if (from !== null && from !== to) {
    try {
      return { ...(await readBeginning(repository, packPathOf(to, from), brake, signal)), isFrom: true };
    } catch (cause) {
      if (!(cause instanceof FetchError && cause.code === 'fetch_missing')) throw cause;
    }
  }
  return { ...(await readBeginning(repository, packPathOf(to, null), brake, signal)), isFrom: false };
}

async function readBeginning(
  repository: Pick<Repository, 'part'>,
  path: string,
  brake: Brake,
  signal: AbortSignal,
): Promise<OpenPack> {
  const fetched = async function* (from: number, bytes: number, stop: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const piece of repository.part(path, from, bytes, stop)) {
      await brake(piece.length, stop);
      yield piece;
    }
  };
  const beginning = await joined(fetched(0, BEGINNING_BYTES, signal));
  const read: OpenPack['read'] = async function* (from, bytes, stop) {
    const known = beginning.subarray(from, from + bytes);
    if (known.length > 0) yield known;
    let left = bytes - known.length;
    // A beginning that came short is all that there is.
    const isAll = beginning.length < BEGINNING_BYTES;
    if (left > 0 && !isAll)
      for await (const piece of fetched(from + known.length, left, stop)) {
        left -= piece.length;
        yield piece;
      }
    if (left > 0) throw new BundleError('bundle_truncated', `${path} ends ${left} bytes too early`);
  };
  const offset = PACK_PREFIX_BYTES + packHeadBytes(beginning);
  const head = parsePackHead(await joined(read(PACK_PREFIX_BYTES, offset - PACK_PREFIX_BYTES, signal)));
  return { path, head, offset, read };
}

export async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return all.length === 1 && all[0] ? all[0] : Buffer.concat(all);
}
