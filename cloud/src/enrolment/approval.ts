import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import { requireReach, type Actor, type Scope } from '../customers/scope.ts';
import { replaceKey } from '../devices/key-change.ts';
import { readDevice, type Device } from '../devices/registry.ts';
import type { Sql } from '../ports.ts';
import { revokeAtAws } from '../aws/issued.ts';
import { revokeCertificates } from '../trust/revocation.ts';
import { EnrolmentError } from './errors.ts';
import { lockSerialNumber, registerNewcomer } from './newcomer.ts';
import { findPending, pendingOf, readPending, twinsOf, type Pending, type PendingRow } from './pending.ts';

/** How a human lets it in. */
export interface Approval {
  readonly fingerprint: string;
  /** Entity tag of what the human looked at. */
  readonly seen: string;
  /** The registered device that it is: goes on with the new key. Null: a new device in any case. */
  readonly deviceId?: string | null | undefined;
  readonly customerId?: string | undefined;
  readonly siteId?: string | null | undefined;
  readonly modelId?: string | null | undefined;
  readonly name?: string | undefined;
}

/**
 * Registers it, or gives the device that it is its new key, takes back the old ones and their certificates. In a
 * transaction. It gets its certificate when it asks the next time. Invariant: no device gets another key unless the human
 * named that device: what a stranger says of itself, and when it says it, is its own choice.
 * @throws EnrolmentError `pending_unknown`, `pending_changed`, `device_ambiguous`; FleetError as registerDevice and
 *   replaceKey
 */
export async function approve(sql: Sql, scope: Scope, actor: Actor, approval: Approval, now: WallMs): Promise<Device> {
  const { fingerprint, seen, deviceId } = approval;
  const { serial_number: serialNumber } = await findPending(sql, scope, fingerprint, now, '');
  if (serialNumber !== null) await lockSerialNumber(sql, serialNumber);
  const row = await findPending(sql, scope, fingerprint, now, 'FOR UPDATE OF p');
  if (pendingOf(row).etag !== seen) throw new EnrolmentError('pending_changed', fingerprint);
  if (deviceId === undefined && twinsOf(row).length > 0)
    throw new EnrolmentError('device_ambiguous', twinsOf(row).join(', '));
  await sql.query('DELETE FROM pending_enrolments WHERE thumbprint = $1', [row.thumbprint]);
  return deviceId ? comeBack(sql, scope, actor, row, deviceId) : comeNew(sql, scope, actor, row, approval);
}

async function comeBack(sql: Sql, scope: Scope, actor: Actor, { jwk }: PendingRow, deviceId: string): Promise<Device> {
  await replaceKey(sql, scope, actor, { deviceId, publicKey: jwk });
  await revokeCertificates(sql, deviceId, 'key_replaced');
  await revokeAtAws(sql, deviceId, 'key_replaced');
  return readDevice(sql, scope, deviceId);
}

async function comeNew(sql: Sql, scope: Scope, actor: Actor, row: PendingRow, approval: Approval): Promise<Device> {
  const customerId = approval.customerId ?? scope.customerId ?? undefined;
  if (customerId !== undefined) requireReach(scope, customerId);
  const modelId = approval.modelId === undefined ? await knownModel(sql, row.model) : approval.modelId;
  const { siteId = null, name = null } = approval;
  const { thumbprint, jwk, serial_number: serialNumber } = row;
  return registerNewcomer(sql, actor, { thumbprint, jwk, customerId, serialNumber, modelId, siteId, name });
}

/** It is told so whenever it asks, whatever it brings; forgotten when it has not asked for long. @throws EnrolmentError `pending_unknown` */
export async function reject(sql: Sql, scope: Scope, fingerprint: string, now: WallMs): Promise<Pending> {
  const row = await findPending(sql, scope, fingerprint, now, 'FOR UPDATE OF p');
  await sql.query('UPDATE pending_enrolments SET rejected_at = coalesce(rejected_at, $2) WHERE thumbprint = $1', [
    row.thumbprint,
    toInstant(now),
  ]);
  return readPending(sql, scope, fingerprint, now);
}

/** As if it had never asked: a rejection is gone with it. @throws EnrolmentError `pending_unknown` */
export async function dismiss(sql: Sql, scope: Scope, fingerprint: string, now: WallMs): Promise<Pending> {
  const row = await findPending(sql, scope, fingerprint, now, 'FOR UPDATE OF p');
  await sql.query('DELETE FROM pending_enrolments WHERE thumbprint = $1', [row.thumbprint]);
  return pendingOf(row);
}

/** What a device calls its model is taken where there is such a model for everybody. */
async function knownModel(sql: Sql, model: string | null): Promise<string | null> {
  const [row] = await sql.query<{ model_id: string }>(
    'SELECT model_id FROM models WHERE model_id = $1 AND customer_id IS NULL',
    [model],
  );
  return row?.model_id ?? null;
}
