import type { JWK } from 'jose';
import { fromInstant, toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { checkedId } from '../customers/attributes.ts';
import { DEFAULT_CUSTOMER, readCustomer } from '../customers/customers.ts';
import type { Page, PageRequest } from '../customers/catalogue.ts';
import { FleetError } from '../customers/errors.ts';
import { readModel } from '../customers/models.ts';
import { actAs, requireReach, type Actor, type Scope } from '../customers/scope.ts';
import { importKey } from '../devices/registry.ts';
import type { Sql } from '../ports.ts';
import { EnrolmentError } from './errors.ts';

/** A key that a factory seals claims with, and how far it reaches. */
export interface Batch {
  readonly batchId: string;
  readonly customerId: string;
  readonly thumbprint: string;
  readonly jwk: JWK;
  /** Null: the claims say it. */
  readonly modelId: string | null;
  readonly maxDevices: number;
  readonly used: number;
  readonly notBefore: WallMs;
  readonly notAfter: WallMs;
  readonly createdAt: WallMs;
  readonly revokedAt: WallMs | null;
}

export interface NewBatch {
  readonly batchId: string;
  readonly publicKey: JWK;
  /** By default the scope's own customer, or `default`. */
  readonly customerId?: string | undefined;
  readonly modelId?: string | null | undefined;
  readonly maxDevices: number;
  /** RFC 3339; by default now. */
  readonly notBefore?: string | undefined;
  readonly notAfter: string;
}

export interface BatchRow {
  batch_id: string;
  customer_id: string;
  thumbprint: string;
  jwk: JWK;
  model_id: string | null;
  max_devices: number;
  used: number;
  not_before: Date;
  not_after: Date;
  created_at: Date;
  revoked_at: Date | null;
}

/** More than any factory makes before it gets a new key. */
const MOST_DEVICES = 1_000_000;

/**
 * @throws EnrolmentError `batch_exists`, `batch_key_in_use`, `batch_bounds_invalid`; FleetError `id_invalid`,
 *   `key_unsupported`, `scope_forbidden`, `customer_unknown`, `model_unknown`, `model_of_other_customer`
 */
export async function addBatch(sql: Sql, scope: Scope, actor: Actor, input: NewBatch, now: WallMs): Promise<Batch> {
  checkedId(input.batchId);
  const customerId = input.customerId ?? scope.customerId ?? DEFAULT_CUSTOMER;
  requireReach(scope, customerId);
  await readCustomer(sql, scope, customerId);
  const modelId = input.modelId ?? null;
  await requireModelOf(sql, scope, customerId, modelId);
  const bounds = boundsOf(input, now);
  const { thumbprint, jwk } = await importKey(input.publicKey);
  await actAs(sql, actor);
  const [row] = await sql.query<BatchRow>(
    `INSERT INTO factory_keys (batch_id, customer_id, thumbprint, jwk, model_id, max_devices, not_before, not_after)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING *`,
    [input.batchId, customerId, thumbprint, JSON.stringify(jwk), modelId, ...bounds],
  );
  if (row) return batchOf(row);
  const [sameId] = await sql.query('SELECT 1 FROM factory_keys WHERE batch_id = $1', [input.batchId]);
  throw sameId ? new EnrolmentError('batch_exists', input.batchId) : new EnrolmentError('batch_key_in_use', thumbprint);
}

export async function listBatches(sql: Sql, scope: Scope, { limit, cursor }: PageRequest): Promise<Page<Batch>> {
  const rows = await sql.query<BatchRow>(
    `SELECT * FROM factory_keys WHERE ($1::text IS NULL OR customer_id = $1) AND ($2::text IS NULL OR batch_id > $2)
     ORDER BY batch_id LIMIT $3`,
    [scope.customerId, cursor ?? null, limit + 1],
  );
  const items = rows.slice(0, limit).map(batchOf);
  return { items, next: rows.length > limit ? (items.at(-1)?.batchId ?? null) : null };
}

/** For good: whom it let in stays in. Again for a revoked one changes nothing. @throws EnrolmentError `batch_missing` */
export async function revokeBatch(sql: Sql, scope: Scope, actor: Actor, batchId: string): Promise<Batch> {
  await actAs(sql, actor);
  const [row] = await sql.query<BatchRow>(
    `UPDATE factory_keys SET revoked_at = coalesce(revoked_at, now())
     WHERE batch_id = $2 AND ($1::text IS NULL OR customer_id = $1) RETURNING *`,
    [scope.customerId, batchId],
  );
  if (!row) throw new EnrolmentError('batch_missing', batchId);
  return batchOf(row);
}

export const batchOf = (row: BatchRow): Batch => ({
  batchId: row.batch_id,
  customerId: row.customer_id,
  thumbprint: row.thumbprint,
  jwk: row.jwk,
  modelId: row.model_id,
  maxDevices: row.max_devices,
  used: row.used,
  notBefore: wallMs(row.not_before.getTime()),
  notAfter: wallMs(row.not_after.getTime()),
  createdAt: wallMs(row.created_at.getTime()),
  revokedAt: row.revoked_at && wallMs(row.revoked_at.getTime()),
});

async function requireModelOf(sql: Sql, scope: Scope, customerId: string, modelId: string | null): Promise<void> {
  if (modelId === null) return;
  const owner = (await readModel(sql, scope, modelId)).customerId;
  if (owner !== null && owner !== customerId) throw new FleetError('model_of_other_customer', modelId);
}

/** In the order of the columns. */
function boundsOf({ maxDevices, notBefore, notAfter }: NewBatch, now: WallMs): [number, string, string] {
  const from = notBefore ?? toInstant(now);
  const isBounded = Number.isInteger(maxDevices) && maxDevices >= 1 && maxDevices <= MOST_DEVICES;
  if (!isBounded) throw new EnrolmentError('batch_bounds_invalid', `1 to ${MOST_DEVICES} devices`);
  if (!(fromInstant(from) < fromInstant(notAfter)))
    throw new EnrolmentError('batch_bounds_invalid', 'it ends too early');
  return [maxDevices, from, notAfter];
}
