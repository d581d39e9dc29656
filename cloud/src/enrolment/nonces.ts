import { randomBytes } from 'node:crypto';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import { addressGroup } from '../trust/address-group.ts';
import { EnrolmentError } from './errors.ts';

export interface NonceLimits {
  readonly lifeMs: number;
  /** Nonces that one address gets in a minute, and all of them together. */
  readonly perAddress: number;
  readonly inAll: number;
}

/** A site of several hundred kiosks may stand behind one address and be switched on at once. */
export const NONCE_LIMITS: NonceLimits = { lifeMs: 300_000, perAddress: 600, inAll: 60_000 };

const MINUTE_MS = 60_000;

// Counted and given out in one statement, whichever instance is asked: the row of '*' is locked last by everybody.
const GIVE = `
  WITH mine AS (
    INSERT INTO enrolment_rates AS r (address, minute, given) VALUES ($1, $2, 1)
    ON CONFLICT (address, minute) DO UPDATE SET given = r.given + 1 RETURNING given),
  everybodys AS (
    INSERT INTO enrolment_rates AS r (address, minute, given) SELECT '*', $2, 1 FROM mine WHERE given <= $5
    ON CONFLICT (address, minute) DO UPDATE SET given = r.given + 1 RETURNING given)
  INSERT INTO enrolment_nonces (nonce, expires_at) SELECT $3, $4 FROM everybodys WHERE given <= $6 RETURNING nonce`;

/**
 * 16 random bytes, good once and for minutes.
 * @throws EnrolmentError `nonces_too_many`
 */
export async function giveNonce(
  sql: Sql,
  address: string,
  now: WallMs,
  limits: NonceLimits = NONCE_LIMITS,
): Promise<string> {
  const minute = toInstant(wallMs(now - (now % MINUTE_MS)));
  const expiry = toInstant(wallMs(now + limits.lifeMs));
  const nonce = randomBytes(16).toString('base64url');
  const given = await sql.query(GIVE, [addressGroup(address), minute, nonce, expiry, limits.perAddress, limits.inAll]);
  if (given.length === 0) throw new EnrolmentError('nonces_too_many');
  return nonce;
}

/** Of several who come with the same one, one takes it. @throws EnrolmentError `nonce_unknown` */
export async function takeNonce(sql: Sql, nonce: string, now: WallMs): Promise<void> {
  const taken = await sql.query('DELETE FROM enrolment_nonces WHERE nonce = $1 RETURNING expires_at > $2 AS good', [
    nonce,
    toInstant(now),
  ]);
  if (taken[0]?.['good'] !== true) throw new EnrolmentError('nonce_unknown');
}

/** What is past: nonces, and counts of minutes. */
export async function forgetNonces(sql: Sql, now: WallMs): Promise<void> {
  await sql.query('DELETE FROM enrolment_nonces WHERE expires_at <= $1', [toInstant(now)]);
  await sql.query('DELETE FROM enrolment_rates WHERE minute <= $1', [toInstant(wallMs(now - 2 * MINUTE_MS))]);
}
