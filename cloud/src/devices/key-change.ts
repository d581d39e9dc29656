import type { JWK } from 'jose';
import { FleetError } from '../customers/errors.ts';
import { actAs, type Actor, type Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { addKey, importKey, readDevice } from './registry.ts';

/**
 * A device goes on with another key: the new one is added, every other one is revoked. Id and history stay.
 * In a transaction.
 * @throws FleetError `device_unknown`, `device_retired`, `key_unsupported`, `key_in_use`
 */
export async function replaceKey(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  { deviceId, publicKey }: { readonly deviceId: string; readonly publicKey: JWK },
): Promise<void> {
  const key = await importKey(publicKey);
  // Of two who change the keys of a device at once, the second one sees what the first one did.
  await sql.query('SELECT 1 FROM devices WHERE device_id = $1 FOR UPDATE', [deviceId]);
  const device = await readDevice(sql, scope, deviceId);
  if (device.retiredAt !== null) throw new FleetError('device_retired', deviceId);
  await actAs(sql, actor);
  await sql.query('UPDATE device_keys SET revoked_at = now() WHERE device_id = $1 AND revoked_at IS NULL', [deviceId]);
  await addKey(sql, deviceId, key);
}
