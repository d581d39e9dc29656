import { createHash } from 'node:crypto';
import { BundleError } from '@paddock/shared/bundle-error.ts';

/** What is longer is never held whole in memory. */
export const HELD_BYTES = 8_388_608;

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Passes a content on, and fails at its end when it is another one. @throws BundleError `size_mismatch`, `hash_mismatch` */
export async function* verified(
  pieces: AsyncIterable<Uint8Array>,
  { sha256, size }: { readonly sha256: string; readonly size: number },
  what: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of pieces) {
    hash.update(piece);
    bytes += piece.length;
    if (bytes > size) throw new BundleError('size_mismatch', `${what}: more than ${size} bytes`);
    yield piece;
  }
  if (bytes !== size) throw new BundleError('size_mismatch', `${what}: ${bytes} bytes and not ${size}`);
  if (hash.digest('hex') !== sha256) throw new BundleError('hash_mismatch', what);
}

/** For contents that are known to be short. */
export async function held(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return all.length === 1 && all[0] !== undefined ? all[0] : Buffer.concat(all);
}
