import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import { MOST_A_DAY } from '../trust/certificate-bounds.ts';
import { TrustError } from '../trust/errors.ts';
import { AwsTransportError } from './errors.ts';

/** As long as our own certificates that ended are kept. */
const KEPT_MS = 30 * 86_400_000;
const FORGOTTEN_A_TURN = 1_000;

/** A certificate that a device asks for. */
export interface Asking {
  readonly deviceId: string;
  /** SHA-256 of the TLS key's SubjectPublicKeyInfo, base64url. */
  readonly keyDigest: string;
  readonly identityThumbprint: string;
}

const STANDING = `
  SELECT
    (SELECT count(*) FROM aws_issued WHERE device_id = $1 AND asked_at > clock_timestamp() - interval '1 day') AS asked,
    EXISTS (SELECT FROM aws_issued WHERE key_digest = $2 AND device_id = $1 AND revoked_at IS NOT NULL) AS key_revoked,
    EXISTS (SELECT FROM device_keys WHERE thumbprint = $3 AND revoked_at IS NOT NULL) AS identity_revoked,
    EXISTS (SELECT FROM aws_certificates WHERE device_id = $1 AND key_digest = $2
      AND step NOT IN ('leaving', 'lost')) AS has_one`;

/**
 * Whether the device may have another certificate for this key. Those that were asked for count, because each may have
 * made one, and stay counted when they are gone.
 * @throws TrustError `csr_key_revoked`, `certificates_too_many`; AwsTransportError `device_retired`
 */
export async function requireIssuable(sql: Sql, asking: Asking): Promise<void> {
  const standing = await standingOf(sql, asking);
  if (standing.asked >= MOST_A_DAY) throw new TrustError('certificates_too_many', asking.deviceId);
}

/** As above, and the one that it has, or that is under way, needs no room. */
export async function requireAnswerable(sql: Sql, asking: Asking): Promise<void> {
  const standing = await standingOf(sql, asking);
  if (!standing.has_one && standing.asked >= MOST_A_DAY) throw new TrustError('certificates_too_many', asking.deviceId);
}

async function standingOf(sql: Sql, { deviceId, keyDigest, identityThumbprint }: Asking) {
  const [row] = await sql.query<{
    asked: number;
    key_revoked: boolean;
    identity_revoked: boolean;
    has_one: boolean;
  }>(STANDING, [deviceId, keyDigest, identityThumbprint]);
  if (row === undefined) throw new Error('The database did not answer');
  if (row.key_revoked) throw new TrustError('csr_key_revoked', deviceId);
  // Taken back since the device was let in: it is told so when it asks next.
  if (row.identity_revoked) throw new AwsTransportError('device_retired', deviceId);
  return row;
}

const LEAVE = `
  WITH taken AS (
    SELECT c.request_id, c.step FROM aws_certificates c
    WHERE c.device_id = $1 AND c.step NOT IN ('leaving', 'lost') AND ($2::text IS NULL OR EXISTS (
      SELECT FROM aws_issued i WHERE i.request_id = c.request_id AND i.identity_thumbprint = $2))
    FOR UPDATE)
  UPDATE aws_certificates c SET step = CASE taken.step WHEN 'requested' THEN 'lost' ELSE 'leaving' END,
    changed_at = clock_timestamp()
  FROM taken WHERE c.request_id = taken.request_id RETURNING taken.step`;

// Where nothing was ever made in AWS IoT, nothing is looked for there.
const REVIEW = `
  INSERT INTO aws_things (device_id, review) SELECT $1, 'wanted' WHERE EXISTS (SELECT FROM aws_things)
  ON CONFLICT (device_id) DO UPDATE SET retry_at = '-infinity',
    review = CASE aws_things.review WHEN 'gone' THEN 'gone' ELSE 'wanted' END`;

/**
 * Takes back what AWS IoT issued to a device, all of it or what one identity key asked for: the job removes it there,
 * and these TLS keys get no other one. In a transaction that acts as somebody and has locked the device's row.
 * @returns how many were good until now
 */
export async function revokeAtAws(
  sql: Sql,
  deviceId: string,
  reason: string,
  identityThumbprint: string | null = null,
): Promise<number> {
  await sql.query(
    `UPDATE aws_issued SET revoked_at = now(), reason = $2
     WHERE device_id = $1 AND revoked_at IS NULL AND ($3::text IS NULL OR identity_thumbprint = $3)`,
    [deviceId, reason, identityThumbprint],
  );
  const left = await sql.query<{ step: string }>(LEAVE, [deviceId, identityThumbprint]);
  await sql.query(REVIEW, [deviceId]);
  return left.filter(({ step }) => step === 'active').length;
}

/** Forgets what is long gone; a key that was taken back stays known. @param now the database's clock */
export async function forgetIssued(sql: Sql, now: WallMs): Promise<void> {
  await sql.query(
    `DELETE FROM aws_issued WHERE request_id IN (
       SELECT request_id FROM aws_issued i WHERE asked_at < $1 AND revoked_at IS NULL
         AND NOT EXISTS (SELECT FROM aws_certificates c WHERE c.request_id = i.request_id)
       LIMIT ${FORGOTTEN_A_TURN} FOR UPDATE OF i SKIP LOCKED)`,
    [toInstant(wallMs(now - KEPT_MS))],
  );
}
