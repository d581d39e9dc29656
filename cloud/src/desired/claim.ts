import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { DesiredState } from './check.ts';

const DAY_MS = 86_400_000;
/** How long a message may be taken up, and how long before that it is made anew. */
const VALID_MS = 30 * DAY_MS;
const RENEW_MS = 10 * DAY_MS;
/** Another instance that heard of the same report has sent it just now. */
const JUST_NOW_MS = 2_000;

/** What one instance is to publish, and no other. */
export interface Claim {
  readonly deviceId: string;
  readonly incarnation: string;
  readonly version: number;
  readonly state: DesiredState;
  readonly issuedAt: string;
  readonly expiresAt: string;
}

export interface ClaimRequest {
  readonly epoch: number;
  /** Id of the key that signs what is claimed. */
  readonly keyId: string;
  /** Ids of keys that devices believe; null: nobody looked. */
  readonly believed: readonly string[] | null;
  readonly now: WallMs;
  /** Null: of all devices. */
  readonly deviceIds: readonly string[] | null;
  /** Devices that get it again although it was published. */
  readonly missing: readonly string[];
  readonly limit: number;
}

// What was signed with a key that devices do not believe any more is made anew. Another instance may sign with another
// key of the list, which is no reason.
// A device that never reported has no incarnation yet: its first report shows that it lacks what it shall be. Rows that
// another instance holds are being published by it, or being edited, of which the edit tells.
const CLAIM = `
  WITH due AS (
    SELECT t.device_id, i.incarnation
    FROM desired_states t
    JOIN devices d ON d.device_id = t.device_id AND d.retired_at IS NULL
    JOIN LATERAL (
      SELECT incarnation FROM incarnations i WHERE i.device_id = t.device_id ORDER BY ordinal DESC LIMIT 1) i ON true
    WHERE ($4::text[] IS NULL OR t.device_id = ANY($4)) AND (
      (t.published_epoch, t.published_version, t.published_incarnation) IS DISTINCT FROM ($1::bigint, t.version, i.incarnation)
      OR t.expires_at < $5
      OR $10::text[] IS NOT NULL AND coalesce(t.published_key, '') <> ALL ($10 || $9::text)
      OR t.device_id = ANY($6) AND t.published_at NOT BETWEEN $7 AND $2)
    ORDER BY t.device_id LIMIT $8 FOR NO KEY UPDATE OF t SKIP LOCKED)
  UPDATE desired_states t SET published_epoch = $1, published_version = t.version,
    published_incarnation = due.incarnation, published_key = $9, published_at = $2, expires_at = $3
  FROM due WHERE t.device_id = due.device_id
  RETURNING t.device_id, t.version, t.state, due.incarnation`;

/** Takes over what is to be published: each instance gets other devices. */
export async function claim(sql: Sql, request: ClaimRequest): Promise<Claim[]> {
  const { epoch, keyId, believed, now, deviceIds, missing, limit } = request;
  const [issuedAt, expiresAt] = [toInstant(now), toInstant(wallMs(now + VALID_MS))];
  const rows = await sql.query<{ device_id: string; version: number; state: DesiredState; incarnation: string }>(
    CLAIM,
    [
      epoch,
      issuedAt,
      expiresAt,
      deviceIds,
      toInstant(wallMs(now + RENEW_MS)),
      missing,
      toInstant(wallMs(now - JUST_NOW_MS)),
      limit,
      keyId,
      believed,
    ],
  );
  return rows.map(({ device_id, version, state, incarnation }) => ({
    deviceId: device_id,
    incarnation,
    version,
    state,
    issuedAt,
    expiresAt,
  }));
}

const CLEAR = `
  UPDATE desired_states t SET published_epoch = NULL, published_version = NULL, published_incarnation = NULL,
    published_key = NULL, published_at = NULL, expires_at = NULL
  FROM devices d
  WHERE d.device_id = t.device_id AND d.retired_at IS NOT NULL AND t.published_version IS NOT NULL
    AND ($1::text[] IS NULL OR t.device_id = ANY($1))
  RETURNING t.device_id`;

/** Retired devices whose message still stands at the broker. @param deviceIds null: of all devices */
export async function claimRetired(sql: Sql, deviceIds: readonly string[] | null): Promise<string[]> {
  const rows = await sql.query<{ device_id: string }>(CLEAR, [deviceIds]);
  return rows.map(({ device_id }) => device_id);
}
