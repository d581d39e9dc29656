import type { EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql, Store } from '../ports.ts';
import { addressGroup } from '../trust/address-group.ts';
import type { WaitReason } from './decide.ts';
import { EnrolmentError } from './errors.ts';

export interface WaitingLimits {
  /** Devices that may wait behind one address, and in all. */
  readonly perAddress: number;
  readonly inAll: number;
  /** Who has not asked for so long is forgotten. */
  readonly lifeMs: number;
}

export const WAITING_LIMITS: WaitingLimits = { perAddress: 50, inAll: 5_000, lifeMs: 3 * 86_400_000 };

export interface Stranger {
  readonly key: VerificationKey;
  readonly request: EnrolmentRequest;
  readonly address: string;
  readonly reason: WaitReason;
  /** The registered device that it seems to be. */
  readonly deviceId: string | null;
}

const LOCK = 'SELECT pg_advisory_xact_lock(hashtext($1))';

const ASK_AGAIN = `
  UPDATE pending_enrolments SET address = $2, serial_number = $3, model = $4, facts = $5, reason = $6, device_id = $7,
    customer_id = (SELECT customer_id FROM devices WHERE device_id = $7), last_asked_at = $8, asked = asked + 1
  WHERE thumbprint = $1 RETURNING thumbprint`;

// Those that were rejected keep no place from others.
const COUNT = `
  SELECT count(*) AS in_all, count(*) FILTER (WHERE address_group = $1) AS here
  FROM pending_enrolments WHERE rejected_at IS NULL AND last_asked_at > $2`;

const ASK = `
  INSERT INTO pending_enrolments (thumbprint, address, serial_number, model, facts, reason, device_id, customer_id,
    first_asked_at, last_asked_at, jwk, address_group)
  VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT customer_id FROM devices WHERE device_id = $7), $8, $8, $9, $10)`;

/**
 * Keeps a stranger until a human has decided, with what it said last.
 * @returns whether it asks for the first time
 * @throws EnrolmentError `pending_too_many`
 */
export async function keepWaiting(
  store: Store,
  stranger: Stranger,
  now: WallMs,
  limits: WaitingLimits = WAITING_LIMITS,
): Promise<boolean> {
  const { key, address, reason, deviceId } = stranger;
  const { serialNumber = null, model = null, facts = {} } = stranger.request;
  const said = [address, serialNumber, model, JSON.stringify(facts), reason, deviceId, toInstant(now)];
  return store.transaction(async (sql) => {
    const known = await sql.query(ASK_AGAIN, [key.thumbprint, ...said]);
    if (known.length > 0) return false;
    // One after the other, so that the limits hold however many instances are asked at once.
    await sql.query(LOCK, ['paddock.pending_enrolments']);
    const group = addressGroup(address);
    const [count] = await sql.query<{ in_all: number; here: number }>(COUNT, [
      group,
      toInstant(wallMs(now - limits.lifeMs)),
    ]);
    if ((count?.in_all ?? 0) >= limits.inAll || (count?.here ?? 0) >= limits.perAddress)
      throw new EnrolmentError('pending_too_many');
    await sql.query(`${ASK} ON CONFLICT (thumbprint) DO NOTHING`, [
      key.thumbprint,
      ...said,
      JSON.stringify(key.jwk),
      group,
    ]);
    return true;
  });
}

/** A rejection holds as long as the device asks. What it says now is not kept: a human said no to what it said then. */
export async function keepRejected(sql: Sql, thumbprint: string, now: WallMs): Promise<void> {
  await sql.query('UPDATE pending_enrolments SET last_asked_at = $2, asked = asked + 1 WHERE thumbprint = $1', [
    thumbprint,
    toInstant(now),
  ]);
}
