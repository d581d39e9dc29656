import { createHash } from 'node:crypto';
import type { WallMs } from '@paddock/shared/time.ts';
import { TrustError } from './errors.ts';

/** One list of keys, as far as authorities are concerned. */
export interface ListedAuthorities {
  readonly version: number;
  readonly addedAt: WallMs;
  /** DER in base64url. */
  readonly authorities: readonly string[];
}

/** What the fleet was told of one authority. */
export interface Listing {
  /** DER in base64url. */
  readonly der: string;
  /** The list that named it first, and since when. */
  readonly version: number;
  readonly since: WallMs;
  /** Whether the newest list names it. One that it names no more is withdrawn, for good. */
  readonly isListed: boolean;
}

/** SHA-256 of a certificate, in hexadecimal: how people and tables call an authority, by its beginning. */
export const authorityId = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex');

/** So many digits of an id are shown; more may be given. */
export const SHOWN_DIGITS = 12;

/** By id. @param lists from the first to the newest */
export function listingsOf(lists: readonly ListedAuthorities[]): ReadonlyMap<string, Listing> {
  const newest = new Set(lists.at(-1)?.authorities);
  const listings = new Map<string, Listing>();
  for (const { version, addedAt, authorities } of lists)
    for (const der of authorities) {
      const id = authorityId(Buffer.from(der, 'base64url'));
      if (!listings.has(id)) listings.set(id, { der, version, since: addedAt, isListed: newest.has(der) });
    }
  return listings;
}

/** Which of the authorities that the service holds does what. */
export interface Standing<A> {
  /** Certificates are issued by it: the chosen one, or else the oldest, as soon as devices know it. */
  readonly issuing: A;
  /** Besides it, certificates of these are accepted, and the next list names them. */
  readonly beside: readonly A[];
}

/**
 * @param held in their order; the first one issues unless another one was chosen
 * @param chosen its id; null when nobody chose
 * @throws TrustError `ca_withdrawn` when devices were told to believe none of them any more
 */
export function standingOf<A extends { readonly id: string }>(
  held: readonly A[],
  listings: ReadonlyMap<string, Listing>,
  chosen: string | null,
): Standing<A> {
  const good = held.filter(({ id }) => listings.get(id)?.isListed !== false);
  const listed = good.filter(({ id }) => listings.has(id));
  const candidates = listed.length > 0 ? listed : good;
  const issuing = candidates.find(({ id }) => id === chosen) ?? candidates[0];
  if (issuing === undefined) throw new TrustError('ca_withdrawn');
  return { issuing, beside: good.filter((one) => one !== issuing) };
}
