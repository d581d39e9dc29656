import type { JWK } from 'jose';
import { FleetError } from '../customers/errors.ts';
import { ALL_CUSTOMERS, type Actor } from '../customers/scope.ts';
import { registerDevice, type Device } from '../devices/registry.ts';
import type { Sql } from '../ports.ts';
import { deviceIdsFor } from './device-id.ts';
import { EnrolmentError } from './errors.ts';

export interface Newcomer {
  readonly thumbprint: string;
  readonly jwk: JWK;
  readonly customerId: string | undefined;
  readonly serialNumber: string | null;
  readonly modelId: string | null;
  readonly siteId: string | null;
  readonly name: string | null;
}

/** What is known of a serial number does not change until this transaction ends. Before any other lock. */
export const lockSerialNumber = async (sql: Sql, serialNumber: string): Promise<void> =>
  void (await sql.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`paddock.serial_number ${serialNumber}`]));

/**
 * Registers a device under the first id of its own that is free. In a transaction.
 * @throws FleetError as registerDevice
 */
export async function registerNewcomer(sql: Sql, actor: Actor, newcomer: Newcomer): Promise<Device> {
  const { thumbprint, jwk, name, ...attributes } = newcomer;
  const ids = deviceIdsFor(attributes.modelId, thumbprint);
  for (const deviceId of ids.slice(0, -1)) {
    const [taken] = await sql.query('SELECT 1 FROM devices WHERE device_id = $1', [deviceId]);
    if (taken === undefined) return register(deviceId);
  }
  return register(ids.at(-1) ?? '');

  async function register(deviceId: string): Promise<Device> {
    const input = { deviceId, publicKey: jwk, name: name ?? undefined, ...attributes };
    return registerDevice(sql, ALL_CUSTOMERS, actor, input);
  }
}

/**
 * Two requests of one device at once, two keys that begin alike, or a human who was quicker: decided again, with what is
 * known by now.
 */
export const isRace = (error: unknown): boolean =>
  (error instanceof FleetError && (error.code === 'key_in_use' || error.code === 'device_exists')) ||
  (error instanceof EnrolmentError && error.code === 'pending_changed');
