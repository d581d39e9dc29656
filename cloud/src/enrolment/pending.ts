import { createHash } from 'node:crypto';
import type { JWK } from 'jose';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Page, PageRequest } from '../customers/catalogue.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import type { WaitReason } from './decide.ts';
import { EnrolmentError } from './errors.ts';
import { WAITING_LIMITS } from './waiting.ts';

/** A device that waits for a human, with what it says of itself: none of it is proved but that it holds the key. */
export interface Pending {
  /** RFC 7638 thumbprint of its key: what the operator compares with what the device shows. */
  readonly fingerprint: string;
  readonly address: string;
  readonly serialNumber: string | null;
  readonly model: string | null;
  readonly facts: Readonly<Record<string, string>>;
  /** As of now, like `deviceId`: devices may have been registered or retired since it asked. */
  readonly reason: WaitReason;
  /** The registered device that it would come back as. */
  readonly deviceId: string | null;
  readonly status: 'pending' | 'rejected';
  readonly firstAskedAt: string;
  readonly lastAskedAt: string;
  readonly asked: number;
  /** Entity tag of what a human decides by: an approval names it, so that it is of what was looked at. */
  readonly etag: string;
}

export interface PendingRow {
  thumbprint: string;
  jwk: JWK;
  address: string;
  serial_number: string | null;
  model: string | null;
  facts: Record<string, string>;
  reason: WaitReason;
  device_id: string | null;
  /** Registered devices of its serial number, as of now; null when it names none. */
  twins: string[] | null;
  rejected_at: Date | null;
  first_asked_at: Date;
  last_asked_at: Date;
  asked: number;
}

// A serial number that only a claim named was looked up when it asked. Strangers belong to nobody: only who reaches every
// customer sees them. Devices that come back are their owner's.
const SELECT = `
  SELECT p.*, t.twins FROM pending_enrolments p, LATERAL (
    SELECT CASE WHEN p.serial_number IS NOT NULL THEN coalesce(array_agg(device_id ORDER BY registered_at), '{}') END
        AS twins,
      CASE WHEN p.serial_number IS NULL THEN p.customer_id WHEN count(*) = 1 THEN min(d.customer_id) END AS owner
    FROM devices d WHERE d.serial_number = p.serial_number AND d.retired_at IS NULL) t
  WHERE ($1::text IS NULL OR t.owner = $1) AND p.last_asked_at > $2`;

export async function listPending(
  sql: Sql,
  scope: Scope,
  { limit, cursor }: PageRequest,
  now: WallMs,
): Promise<Page<Pending>> {
  const rows = await sql.query<PendingRow>(
    `${SELECT} AND ($3::text IS NULL OR p.thumbprint > $3) ORDER BY p.thumbprint LIMIT $4`,
    [scope.customerId, oldest(now), cursor ?? null, limit + 1],
  );
  const items = rows.slice(0, limit).map(pendingOf);
  return { items, next: rows.length > limit ? (items.at(-1)?.fingerprint ?? null) : null };
}

/** @throws EnrolmentError `pending_unknown` */
export async function readPending(sql: Sql, scope: Scope, fingerprint: string, now: WallMs): Promise<Pending> {
  return pendingOf(await findPending(sql, scope, fingerprint, now, ''));
}

/** @throws EnrolmentError `pending_unknown` */
export async function findPending(
  sql: Sql,
  scope: Scope,
  fingerprint: string,
  now: WallMs,
  lock: 'FOR UPDATE OF p' | '',
): Promise<PendingRow> {
  const given = [scope.customerId, oldest(now), fingerprint];
  const [row] = await sql.query<PendingRow>(`${SELECT} AND p.thumbprint = $3 ${lock}`, given);
  if (!row) throw new EnrolmentError('pending_unknown', fingerprint);
  return row;
}

/** Who has not asked for long. */
export async function forgetPending(sql: Sql, now: WallMs): Promise<void> {
  await sql.query('DELETE FROM pending_enrolments WHERE last_asked_at <= $1', [oldest(now)]);
}

const oldest = (now: WallMs): string => toInstant(wallMs(now - WAITING_LIMITS.lifeMs));

/** The registered devices that it may be. */
export const twinsOf = ({ twins, device_id: deviceId }: PendingRow): readonly string[] =>
  twins ?? (deviceId === null ? [] : [deviceId]);

export function pendingOf(row: PendingRow): Pending {
  const [only = null, second] = twinsOf(row);
  const seen = {
    fingerprint: row.thumbprint,
    serialNumber: row.serial_number,
    model: row.model,
    facts: row.facts,
    reason: reasonOf(row),
    deviceId: second === undefined ? only : null,
  };
  return {
    ...seen,
    address: row.address,
    status: row.rejected_at === null ? 'pending' : 'rejected',
    firstAskedAt: instant(row.first_asked_at),
    lastAskedAt: instant(row.last_asked_at),
    asked: row.asked,
    etag: etagOf(seen, twinsOf(row)),
  };
}

function reasonOf(row: PendingRow): WaitReason {
  if (twinsOf(row).length > 0) return 'serial_number_known';
  return row.reason === 'serial_number_known' && row.twins !== null ? 'stranger' : row.reason;
}

/** Changes with everything that a human decides by, and with nothing else: not with how often it asks, and from where. */
function etagOf(
  { facts, ...seen }: Pick<Pending, 'fingerprint' | 'serialNumber' | 'model' | 'facts' | 'reason' | 'deviceId'>,
  twins: readonly string[],
): string {
  const told = JSON.stringify([seen, twins, Object.entries(facts).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  return `"${createHash('sha256').update(told).digest('base64url').slice(0, 22)}"`;
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
