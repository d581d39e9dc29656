import { X509Certificate } from 'node:crypto';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { Authorities } from './authorities.ts';
import { KeyListError } from './key-lists.ts';
import { isAlive } from './life.ts';
import { SHOWN_DIGITS, type Listing } from './standing.ts';

/** What an authority is to this service. */
export const AUTHORITY_STATES = {
  issues: 'Certificates are issued by it',
  accepted: 'Certificates of it are accepted, another one issues',
  unlisted: 'It is here, and devices do not know it yet',
  foreign: 'It is not here: devices believe servers of it only',
  expired: 'It has ended, and the newest list of keys still names it',
  withdrawn: 'Devices and brokers do not believe it any more',
} as const satisfies Record<string, string>;
export type AuthorityState = keyof typeof AUTHORITY_STATES;

export interface AuthorityView {
  /** The beginning of the SHA-256 of its certificate, in hexadecimal. */
  readonly id: string;
  readonly subject: string;
  readonly notAfter: string;
  readonly state: AuthorityState;
  /** Since when a list of keys names it. */
  readonly listedSince: string | null;
  /** Devices whose newest good certificate it issued. */
  readonly devices: number;
  /** Devices with a good certificate that have not asked for anything since it is listed. */
  readonly behind: number | null;
  /** In PEM. */
  readonly certificate: string;
}

interface Counted {
  id: string;
  devices: number;
  behind: number;
}

// A device walks to the newest list of keys before it asks for its next certificate.
const COUNTED = `
  SELECT a.id, count(*) FILTER (WHERE coalesce(newest.authority, $3) = a.id) AS devices,
    count(*) FILTER (WHERE newest.issued_at < a.since) AS behind
  FROM unnest($1::text[], $2::timestamptz[]) AS a (id, since), (
    SELECT DISTINCT ON (c.device_id) c.authority, c.issued_at
    FROM certificates c JOIN devices d USING (device_id)
    WHERE d.retired_at IS NULL AND c.revoked_at IS NULL AND c.not_after > now()
    ORDER BY c.device_id, c.issued_at DESC) AS newest
  GROUP BY a.id`;

/** Every authority that is here, or was ever listed: those here first, then by when they were listed. */
export async function authorityViews(sql: Sql, authorities: Authorities, now: WallMs): Promise<AuthorityView[]> {
  const { held, listings } = authorities;
  const heldIds = held.map(({ id }) => id);
  const others = [...listings.keys()].filter((id) => !heldIds.includes(id));
  const ids = [...heldIds, ...others];
  const since = ids.map((id) => instantOf(listings.get(id)));
  // Of certificates from before their issuer was kept: it is the first that there was.
  const [first = heldIds[0]] = listings.keys();
  const counted = await sql.query<Counted>(COUNTED, [ids, since, first]);
  return ids.map((id) => {
    const own = held.find((one) => one.id === id);
    const listing = listings.get(id);
    const counts = counted.find((row) => row.id === id);
    const certificate = new X509Certificate(own?.certificateDer ?? Buffer.from(listing?.der ?? '', 'base64url'));
    const notAfter = wallMs(certificate.validToDate.getTime());
    return {
      id: id.slice(0, SHOWN_DIGITS),
      subject: certificate.subject,
      notAfter: toInstant(notAfter),
      state: stateOf(id, authorities, isAlive({ notAfter }, now)),
      listedSince: instantOf(listing),
      devices: counts?.devices ?? 0,
      behind: listing?.isListed === true ? (counts?.behind ?? 0) : null,
      certificate: certificate.toString(),
    };
  });
}

function stateOf(id: string, { issuing, accepted, listings }: Authorities, alive: boolean): AuthorityState {
  if (listings.get(id)?.isListed === false) return 'withdrawn';
  if (!alive) return 'expired';
  if (id === issuing.id) return 'issues';
  if (!accepted.some((one) => one.id === id)) return 'foreign';
  return listings.has(id) ? 'accepted' : 'unlisted';
}

const instantOf = (listing: Listing | undefined): string | null => (listing ? toInstant(listing.since) : null);

/**
 * From now on certificates are issued by this one, on every instance that holds it. In a transaction that acts as
 * somebody; again for the one that issues changes nothing.
 * @param beginning of its id
 * @throws KeyListError `authority_unknown`, `authority_unlisted`
 */
export async function useAuthority(sql: Sql, authorities: Authorities, beginning: string): Promise<string> {
  const [found, second] = authorities.accepted.filter(({ id }) => id.startsWith(beginning));
  if (found === undefined || second !== undefined) throw new KeyListError('authority_unknown', beginning);
  if (!authorities.listings.has(found.id)) throw new KeyListError('authority_unlisted', beginning);
  if (found.id !== authorities.issuing.id)
    await sql.query('INSERT INTO authority_uses (fingerprint) VALUES ($1)', [found.id]);
  return found.id;
}
