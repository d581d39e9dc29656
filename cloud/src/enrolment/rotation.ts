import { ALL_CUSTOMERS, type Actor } from '../customers/scope.ts';
import type { JWK } from 'jose';
import { replaceKey } from '../devices/key-change.ts';
import type { Sql } from '../ports.ts';
import { revokeAtAws } from '../aws/issued.ts';
import { revokeCertificates } from '../trust/revocation.ts';
import { EnrolmentError } from './errors.ts';

export interface Rotation {
  readonly deviceId: string;
  /** Thumbprint of the old key, which speaks for the new one. */
  readonly endorsedBy: string;
  readonly publicKey: JWK;
}

/**
 * A device goes on with the key that its old one endorses; what the old one got is taken back. In a transaction, before a
 * certificate is issued to the new key. Invariant: one key endorses one other, and none once it was taken back. What was
 * read when this was decided may be past, so it is read again behind the lock that every change of the device's keys takes.
 * @throws EnrolmentError `key_revoked`; FleetError as replaceKey
 */
export async function rotate(sql: Sql, actor: Actor, { deviceId, endorsedBy, publicKey }: Rotation): Promise<void> {
  await sql.query('SELECT 1 FROM devices WHERE device_id = $1 FOR UPDATE', [deviceId]);
  const good = await sql.query('SELECT 1 FROM device_keys WHERE thumbprint = $1 AND revoked_at IS NULL', [endorsedBy]);
  if (good.length === 0) throw new EnrolmentError('key_revoked', endorsedBy);
  await replaceKey(sql, ALL_CUSTOMERS, actor, { deviceId, publicKey });
  await revokeCertificates(sql, deviceId, 'key_replaced');
  await revokeAtAws(sql, deviceId, 'key_replaced');
}
