import type { JWK } from 'jose';
import { importVerificationKey, KeyError, type VerificationKey } from '@paddock/shared/keys.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { DEVICE_ID_PATTERN, isDeviceId } from '@paddock/shared/topics.ts';
import { checkedOptional, checkedText } from '../customers/attributes.ts';
import { DEFAULT_CUSTOMER, readCustomer } from '../customers/customers.ts';
import { FleetError } from '../customers/errors.ts';
import { readModel } from '../customers/models.ts';
import { actAs, requireReach, type Actor, type Scope } from '../customers/scope.ts';
import { readSite } from '../customers/sites.ts';
import type { Sql } from '../ports.ts';

/** A device's attributes, as people registered and edited them. */
export interface Device {
  readonly deviceId: string;
  readonly customerId: string;
  readonly siteId: string | null;
  readonly modelId: string | null;
  readonly serialNumber: string | null;
  readonly name: string;
  readonly registeredAt: string;
  readonly retiredAt: string | null;
  readonly version: number;
}

export interface DeviceKey {
  readonly thumbprint: string;
  readonly keyId: string;
  readonly jwk: JWK;
  readonly addedAt: string;
  readonly revokedAt: string | null;
}

export interface NewDevice {
  readonly deviceId: string;
  /** The public part of the device's identity key; a private part is never stored. */
  readonly publicKey: JWK;
  /** By default the scope's own customer, or `default`. */
  readonly customerId?: string | undefined;
  readonly siteId?: string | null | undefined;
  readonly modelId?: string | null | undefined;
  readonly serialNumber?: string | null | undefined;
  /** By default the device id. */
  readonly name?: string | undefined;
}

export interface DeviceEdit {
  readonly deviceId: string;
  /** As the editor read it; null edits whatever is there. */
  readonly expectedVersion: number | null;
  /** A device that moves to another customer leaves its site. */
  readonly customerId?: string | undefined;
  readonly siteId?: string | null | undefined;
  readonly modelId?: string | null | undefined;
  readonly serialNumber?: string | null | undefined;
  readonly name?: string | undefined;
}

interface DeviceRow {
  device_id: string;
  customer_id: string;
  site_id: string | null;
  model_id: string | null;
  serial_number: string | null;
  name: string;
  registered_at: Date;
  retired_at: Date | null;
  version: number;
}

type Attributes = Pick<Device, 'customerId' | 'siteId' | 'modelId' | 'serialNumber' | 'name'>;

/**
 * Gives a device its id and its first key. In a transaction, as every function here that takes an actor.
 * @throws FleetError `id_invalid`, `device_exists`, `key_unsupported`, `key_in_use`, `scope_forbidden`,
 *   `customer_unknown`, `site_unknown`, `site_of_other_customer`, `model_unknown`, `model_of_other_customer`, `text_invalid`
 */
export async function registerDevice(sql: Sql, scope: Scope, actor: Actor, input: NewDevice): Promise<Device> {
  const { deviceId } = input;
  if (!isDeviceId(deviceId)) throw new FleetError('id_invalid', `a device id matches ${DEVICE_ID_PATTERN}`);
  const key = await importKey(input.publicKey);
  const attributes = await checkedAttributes(sql, scope, {
    customerId: input.customerId ?? scope.customerId ?? DEFAULT_CUSTOMER,
    siteId: input.siteId ?? null,
    modelId: input.modelId ?? null,
    serialNumber: input.serialNumber ?? null,
    name: input.name ?? deviceId,
  });
  await actAs(sql, actor);
  const [row] = await sql.query<DeviceRow>(
    `INSERT INTO devices (device_id, customer_id, site_id, model_id, serial_number, name)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING *`,
    [deviceId, ...inOrder(attributes)],
  );
  if (!row) throw new FleetError('device_exists', deviceId);
  await addKey(sql, deviceId, key);
  return deviceOf(row);
}

/** @throws FleetError as registerDevice, `device_unknown`, `device_retired`, `version_conflict` */
export async function editDevice(sql: Sql, scope: Scope, actor: Actor, edit: DeviceEdit): Promise<Device> {
  const device = await lockDevice(sql, scope, edit.deviceId, edit.expectedVersion);
  if (device.retiredAt !== null) throw new FleetError('device_retired', edit.deviceId);
  const attributes = await checkedAttributes(sql, scope, editedAttributes(device, edit));
  await actAs(sql, actor);
  const [row] = await sql.query<DeviceRow>(
    `UPDATE devices SET customer_id = $2, site_id = $3, model_id = $4, serial_number = $5, name = $6,
       version = version + 1 WHERE device_id = $1 RETURNING *`,
    [edit.deviceId, ...inOrder(attributes)],
  );
  return deviceOf(row as DeviceRow);
}

/** For good: the id is never used again, the keys stay as proof. Again for a retired one changes nothing. */
export async function retireDevice(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  target: { readonly deviceId: string; readonly expectedVersion: number | null },
): Promise<Device> {
  const device = await lockDevice(sql, scope, target.deviceId, target.expectedVersion);
  if (device.retiredAt !== null) return device;
  await actAs(sql, actor);
  const [row] = await sql.query<DeviceRow>(
    'UPDATE devices SET retired_at = now(), version = version + 1 WHERE device_id = $1 RETURNING *',
    [target.deviceId],
  );
  return deviceOf(row as DeviceRow);
}

/** @throws FleetError `device_unknown` */
export async function readDevice(sql: Sql, scope: Scope, deviceId: string): Promise<Device> {
  return findDevice(sql, scope, deviceId, '');
}

/** Every key that the device ever had, oldest first. @throws FleetError `device_unknown` */
export async function keysOf(sql: Sql, scope: Scope, deviceId: string): Promise<DeviceKey[]> {
  await readDevice(sql, scope, deviceId);
  const rows = await sql.query<{
    thumbprint: string;
    key_id: string;
    jwk: JWK;
    added_at: Date;
    revoked_at: Date | null;
  }>(
    'SELECT thumbprint, key_id, jwk, added_at, revoked_at FROM device_keys WHERE device_id = $1 ORDER BY added_at, thumbprint',
    [deviceId],
  );
  return rows.map((row) => ({
    thumbprint: row.thumbprint,
    keyId: row.key_id,
    jwk: row.jwk,
    addedAt: instant(row.added_at),
    revokedAt: row.revoked_at && instant(row.revoked_at),
  }));
}

/** @throws FleetError `key_unsupported` */
export async function importKey(publicKey: JWK): Promise<VerificationKey> {
  try {
    return await importVerificationKey(publicKey);
  } catch (cause) {
    if (cause instanceof KeyError) throw new FleetError('key_unsupported', cause.message, { cause });
    throw cause;
  }
}

/** In a transaction that acts as somebody. @throws FleetError `key_in_use` */
export async function addKey(sql: Sql, deviceId: string, { thumbprint, keyId, jwk }: VerificationKey): Promise<void> {
  const added = await sql.query(
    `INSERT INTO device_keys (thumbprint, device_id, key_id, jwk) VALUES ($1, $2, $3, $4)
     ON CONFLICT (thumbprint) DO NOTHING RETURNING thumbprint`,
    [thumbprint, deviceId, keyId, JSON.stringify(jwk)],
  );
  if (added.length === 0) throw new FleetError('key_in_use', thumbprint);
}

/** A device stands on a site of its own customer, and is of a model that its customer may use. */
async function checkedAttributes(sql: Sql, scope: Scope, attributes: Attributes): Promise<Attributes> {
  const { customerId, siteId, modelId } = attributes;
  requireReach(scope, customerId);
  await readCustomer(sql, scope, customerId);
  if (siteId !== null && (await readSite(sql, scope, siteId)).customerId !== customerId)
    throw new FleetError('site_of_other_customer', siteId);
  const modelOwner = modelId === null ? null : (await readModel(sql, scope, modelId)).customerId;
  if (modelOwner !== null && modelOwner !== customerId) throw new FleetError('model_of_other_customer', modelId ?? '');
  checkedText(attributes.name);
  checkedOptional(attributes.serialNumber);
  return attributes;
}

function editedAttributes(device: Device, edit: DeviceEdit): Attributes {
  const moves = edit.customerId !== undefined && edit.customerId !== device.customerId;
  return {
    customerId: edit.customerId ?? device.customerId,
    siteId: edit.siteId === undefined ? (moves ? null : device.siteId) : edit.siteId,
    modelId: edit.modelId === undefined ? device.modelId : edit.modelId,
    serialNumber: edit.serialNumber === undefined ? device.serialNumber : edit.serialNumber,
    name: edit.name ?? device.name,
  };
}

const inOrder = (a: Attributes) => [a.customerId, a.siteId, a.modelId, a.serialNumber, a.name];

async function lockDevice(sql: Sql, scope: Scope, deviceId: string, expectedVersion: number | null): Promise<Device> {
  const device = await findDevice(sql, scope, deviceId, 'FOR UPDATE');
  if (expectedVersion !== null && expectedVersion !== device.version)
    throw new FleetError('version_conflict', deviceId);
  return device;
}

async function findDevice(sql: Sql, scope: Scope, deviceId: string, lock: 'FOR UPDATE' | ''): Promise<Device> {
  const [row] = await sql.query<DeviceRow>(
    `SELECT * FROM devices WHERE device_id = $2 AND ($1::text IS NULL OR customer_id = $1) ${lock}`,
    [scope.customerId, deviceId],
  );
  if (!row) throw new FleetError('device_unknown', deviceId);
  return deviceOf(row);
}

function deviceOf(row: DeviceRow): Device {
  return {
    deviceId: row.device_id,
    customerId: row.customer_id,
    siteId: row.site_id,
    modelId: row.model_id,
    serialNumber: row.serial_number,
    name: row.name,
    registeredAt: instant(row.registered_at),
    retiredAt: row.retired_at && instant(row.retired_at),
    version: row.version,
  };
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
