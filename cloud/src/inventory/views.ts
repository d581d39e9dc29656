import { base64url } from 'jose';
import { parseEnvelope, readPayload, type Inflate } from '@paddock/shared/envelope.ts';
import type { Component, ComponentKind, Inventory } from '@paddock/shared/inventory.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf } from '../devices/conditions.ts';
import { lifeAround } from '../devices/lives.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from '../devices/placement.ts';
import { proofOf, urlSafe, type Proof } from '../devices/proof.ts';
import type { Sql } from '../ports.ts';

export interface InventoryReading {
  readonly sql: Sql;
  readonly inflater: Inflate;
  /** How wrong the cloud's own clock can be now, in ms. */
  readonly cloudErrorMs: () => number;
}

/** An inventory as it was signed, and when the machine was looked at. */
export interface InventoryView {
  readonly deviceId: string;
  readonly inventoryId: number;
  readonly receivedAt: string;
  readonly time: TimeView;
  readonly incarnation: string;
  readonly start: number;
  /** SHA-256 of the JWS signing input. */
  readonly digest: string;
  /** SHA-256 of the canonical tree: what reports name. */
  readonly content: string;
  /** Kinds that could not be looked for. */
  readonly unseen: readonly ComponentKind[];
  readonly components: readonly Component[];
}

interface InventoryRow extends PlacedRow {
  readonly inventory_id: number;
  readonly incarnation: string;
  readonly start: number;
  readonly digest: string;
  readonly content: string;
  readonly envelope: string;
}

const INVENTORIES = `
  SELECT v.inventory_id, v.incarnation, v.start, v.boot_id, v.segment, v.uptime_ms, v.received_at,
    v.earliest, v.latest, v.basis, encode(v.digest, 'base64') AS digest, v.content, v.envelope
  FROM inventories v JOIN devices d USING (device_id)`;

/**
 * The inventory that is current, or was at a moment: the newest that was certainly made by then.
 * @param asOf RFC 3339
 * @returns null when there is none
 */
export async function inventoryAt(
  { sql, inflater, cloudErrorMs }: InventoryReading,
  scope: Scope,
  deviceId: string,
  asOf?: string,
): Promise<InventoryView | null> {
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ['v.device_id = ?', deviceId],
    ...(asOf === undefined ? [] : ([['v.latest <= ?', asOf]] as const)),
  ]);
  const [row] = await sql.query<InventoryRow>(`${INVENTORIES} ${where} ORDER BY v.inventory_id DESC LIMIT 1`, values);
  if (row === undefined) return null;
  const life = await lifeAround(sql, deviceId, [row]);
  const { unseen = [], components } = contentOf(row.envelope, inflater);
  return {
    deviceId,
    inventoryId: row.inventory_id,
    receivedAt: toInstant(wallMs(row.received_at.getTime())),
    time: timeView(life.place(momentOf(row, cloudErrorMs()))),
    incarnation: row.incarnation,
    start: row.start,
    digest: urlSafe(row.digest),
    content: row.content,
    unseen,
    components,
  };
}

/** All that it takes to verify an inventory without us, or null when there is none of this number. */
export async function inventoryProof(
  sql: Sql,
  scope: Scope,
  deviceId: string,
  inventoryId: number,
): Promise<Proof | null> {
  const { where, values } = whereOf([
    ...scopeOf(scope),
    ['v.device_id = ?', deviceId],
    ['v.inventory_id = ?', inventoryId],
  ]);
  const [row] = await sql.query<InventoryRow>(`${INVENTORIES} ${where}`, values);
  return row === undefined ? null : proofOf(sql, scope, deviceId, row);
}

/** It was verified, and found to fit the schema, before it was recorded. */
function contentOf(envelope: string, inflater: Inflate): Inventory {
  const { payload, dictionary } = parseEnvelope(envelope);
  return readPayload(base64url.decode(payload), dictionary, inflater) as Inventory;
}
