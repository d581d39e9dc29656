import type { JWK } from 'jose';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Page, PageRequest } from '../customers/catalogue.ts';
import { requireReach, type Actor, type Scope } from '../customers/scope.ts';
import { replaceKey } from '../devices/key-change.ts';
import { readDevice, type Device } from '../devices/registry.ts';
import type { Sql } from '../ports.ts';
import { revokeAtAws } from '../aws/issued.ts';
import { revokeCertificates } from '../trust/revocation.ts';
import type { WaitReason } from './decide.ts';
import { EnrolmentError } from './errors.ts';
import { registerNewcomer } from './newcomer.ts';
import { WAITING_LIMITS } from './waiting.ts';

/** A device that waits for a human, with what it says of itself: none of it is proved but that it holds the key. */
export interface Pending {
  /** RFC 7638 thumbprint of its key: what the operator compares with what the device shows. */
  readonly fingerprint: string;
  readonly address: string;
  readonly serialNumber: string | null;
  readonly model: string | null;
  readonly facts: Readonly<Record<string, string>>;
  readonly reason: WaitReason;
  /** The registered device that it would come back as. */
  readonly deviceId: string | null;
  readonly status: 'pending' | 'rejected';
  readonly firstAskedAt: string;
  readonly lastAskedAt: string;
  readonly asked: number;
}

/** How a human lets it in. */
export interface Approval {
  readonly fingerprint: string;
  /** The registered device that it is: goes on with the new key. Null makes a new device in any case. */
  readonly deviceId?: string | null | undefined;
  readonly customerId?: string | undefined;
  readonly siteId?: string | null | undefined;
  readonly modelId?: string | null | undefined;
  readonly name?: string | undefined;
}

interface PendingRow {
  thumbprint: string;
  jwk: JWK;
  address: string;
  serial_number: string | null;
  model: string | null;
  facts: Record<string, string>;
  reason: WaitReason;
  device_id: string | null;
  customer_id: string | null;
  rejected_at: Date | null;
  first_asked_at: Date;
  last_asked_at: Date;
  asked: number;
}

/** Strangers belong to nobody: only who reaches every customer sees them. Devices that come back are their owner's. */
const VISIBLE = '($1::text IS NULL OR customer_id = $1)';

export async function listPending(
  sql: Sql,
  scope: Scope,
  { limit, cursor }: PageRequest,
  now: WallMs,
): Promise<Page<Pending>> {
  const rows = await sql.query<PendingRow>(
    `SELECT * FROM pending_enrolments WHERE ${VISIBLE} AND ($2::text IS NULL OR thumbprint > $2) AND last_asked_at > $3
     ORDER BY thumbprint LIMIT $4`,
    [scope.customerId, cursor ?? null, oldest(now), limit + 1],
  );
  const items = rows.slice(0, limit).map(pendingOf);
  return { items, next: rows.length > limit ? (items.at(-1)?.fingerprint ?? null) : null };
}

/**
 * Registers it, or gives the device that it is its new key, takes back the old ones and their certificates. In a
 * transaction. It gets its certificate when it asks the next time.
 * @throws EnrolmentError `pending_unknown`, `device_ambiguous`; FleetError as registerDevice and replaceKey
 */
export async function approve(sql: Sql, scope: Scope, actor: Actor, approval: Approval, now: WallMs): Promise<Device> {
  const row = await lockPending(sql, scope, approval.fingerprint, now);
  const deviceId = approval.deviceId === undefined ? await onlyTwin(sql, row) : approval.deviceId;
  await sql.query('DELETE FROM pending_enrolments WHERE thumbprint = $1', [row.thumbprint]);
  if (deviceId !== null) {
    await replaceKey(sql, scope, actor, { deviceId, publicKey: row.jwk });
    await revokeCertificates(sql, deviceId, 'key_replaced');
    await revokeAtAws(sql, deviceId, 'key_replaced');
    return readDevice(sql, scope, deviceId);
  }
  const customerId = approval.customerId ?? scope.customerId ?? undefined;
  if (customerId !== undefined) requireReach(scope, customerId);
  const modelId = approval.modelId === undefined ? await knownModel(sql, row.model) : approval.modelId;
  const { siteId = null, name = null } = approval;
  const { thumbprint, jwk, serial_number: serialNumber } = row;
  return registerNewcomer(sql, actor, { thumbprint, jwk, customerId, serialNumber, modelId, siteId, name });
}

/** It is told so when it asks the next time; forgotten when it has not asked for long. @throws EnrolmentError `pending_unknown` */
export async function reject(sql: Sql, scope: Scope, fingerprint: string, now: WallMs): Promise<Pending> {
  const row = await lockPending(sql, scope, fingerprint, now);
  const [rejected] = await sql.query<PendingRow>(
    'UPDATE pending_enrolments SET rejected_at = coalesce(rejected_at, $2) WHERE thumbprint = $1 RETURNING *',
    [row.thumbprint, toInstant(now)],
  );
  return pendingOf(rejected ?? row);
}

/** Who has not asked for long. */
export async function forgetPending(sql: Sql, now: WallMs): Promise<void> {
  await sql.query('DELETE FROM pending_enrolments WHERE last_asked_at <= $1', [oldest(now)]);
}

async function lockPending(sql: Sql, scope: Scope, fingerprint: string, now: WallMs): Promise<PendingRow> {
  const [row] = await sql.query<PendingRow>(
    `SELECT * FROM pending_enrolments WHERE ${VISIBLE} AND thumbprint = $2 AND last_asked_at > $3 FOR UPDATE`,
    [scope.customerId, fingerprint, oldest(now)],
  );
  if (!row) throw new EnrolmentError('pending_unknown', fingerprint);
  return row;
}

/** As it is now: devices may have been registered since it asked. */
async function onlyTwin(sql: Sql, { serial_number, device_id }: PendingRow): Promise<string | null> {
  if (serial_number === null) return device_id;
  const twins = await sql.query<{ device_id: string }>(
    'SELECT device_id FROM devices WHERE serial_number = $1 AND retired_at IS NULL LIMIT 2',
    [serial_number],
  );
  if (twins.length > 1) throw new EnrolmentError('device_ambiguous', serial_number);
  return twins[0]?.device_id ?? null;
}

/** What a device calls its model is taken where there is such a model for everybody. */
async function knownModel(sql: Sql, model: string | null): Promise<string | null> {
  const [row] = await sql.query<{ model_id: string }>(
    'SELECT model_id FROM models WHERE model_id = $1 AND customer_id IS NULL',
    [model],
  );
  return row?.model_id ?? null;
}

const oldest = (now: WallMs): string => toInstant(wallMs(now - WAITING_LIMITS.lifeMs));

const pendingOf = (row: PendingRow): Pending => ({
  fingerprint: row.thumbprint,
  address: row.address,
  serialNumber: row.serial_number,
  model: row.model,
  facts: row.facts,
  reason: row.reason,
  deviceId: row.device_id,
  status: row.rejected_at === null ? 'pending' : 'rejected',
  firstAskedAt: instant(row.first_asked_at),
  lastAskedAt: instant(row.last_asked_at),
  asked: row.asked,
});

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
