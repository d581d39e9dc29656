import type { Sql } from '../ports.ts';
import { batchOf, type Batch, type BatchRow } from './factory-keys.ts';

/** Who has a key, and what became of both. */
export interface Owner {
  /** Of the key. */
  readonly thumbprint: string;
  readonly deviceId: string;
  readonly customerId: string;
  readonly isRetired: boolean;
  readonly isRevoked: boolean;
}

/** What the factory list says of a key. */
export interface ListedKey {
  readonly customerId: string;
  readonly serialNumber: string;
  readonly modelId: string | null;
  readonly siteId: string | null;
  readonly name: string | null;
}

/** A registered device of the serial number that a request names. */
export interface Twin {
  readonly deviceId: string;
  readonly customerId: string;
}

/** What the database knows of who asks. */
export interface Known {
  readonly owner: Owner | null;
  readonly listed: ListedKey | null;
  readonly twins: readonly Twin[];
  /** Whether a human said no to this key. */
  readonly isRejected: boolean;
}

interface KnownRow {
  owner: Owner | null;
  listed: ListedKey | null;
  twins: Twin[] | null;
  rejected: boolean | null;
}

const OWNER = `
  SELECT jsonb_build_object('thumbprint', k.thumbprint, 'deviceId', d.device_id, 'customerId', d.customer_id,
    'isRetired', d.retired_at IS NOT NULL, 'isRevoked', k.revoked_at IS NOT NULL)
  FROM device_keys k JOIN devices d USING (device_id)`;

const KNOWN = `
  SELECT
    (${OWNER} WHERE k.thumbprint = $1) AS owner,
    (SELECT jsonb_build_object('customerId', customer_id, 'serialNumber', serial_number, 'modelId', model_id,
       'siteId', site_id, 'name', name) FROM factory_list WHERE thumbprint = $1) AS listed,
    (SELECT jsonb_agg(jsonb_build_object('deviceId', device_id, 'customerId', customer_id) ORDER BY registered_at)
     FROM devices WHERE serial_number = $2 AND retired_at IS NULL) AS twins,
    (SELECT rejected_at IS NOT NULL FROM pending_enrolments WHERE thumbprint = $1) AS rejected`;

/** @param serialNumber as the request or its claim names it */
export async function readKnown(sql: Sql, thumbprint: string, serialNumber: string | null): Promise<Known> {
  const [row] = await sql.query<KnownRow>(KNOWN, [thumbprint, serialNumber]);
  return {
    owner: row?.owner ?? null,
    listed: row?.listed ?? null,
    twins: row?.twins ?? [],
    isRejected: row?.rejected ?? false,
  };
}

/** Whose key it is by the beginning of its thumbprint, and the key. */
export async function readEndorser(
  sql: Sql,
  deviceId: string,
  keyId: string,
): Promise<{ owner: Owner; jwk: Batch['jwk'] } | null> {
  const [row] = await sql.query<{ owner: Owner; jwk: Batch['jwk'] }>(
    `SELECT (${OWNER} WHERE k.thumbprint = n.thumbprint) AS owner, n.jwk
     FROM device_keys n WHERE n.device_id = $1 AND n.key_id = $2`,
    [deviceId, keyId],
  );
  return row ?? null;
}

/** What a claim is judged by. */
export interface KnownClaim {
  readonly batch: Batch;
  readonly isUsed: boolean;
  readonly isModelKnown: boolean;
}

export async function readKnownClaim(
  sql: Sql,
  claim: { readonly iss: string; readonly jti: string; readonly model?: string },
): Promise<KnownClaim | null> {
  const [row] = await sql.query<BatchRow & { is_used: boolean; is_model_known: boolean }>(
    `SELECT f.*,
       EXISTS (SELECT FROM used_claims u WHERE u.batch_id = f.batch_id AND u.jti = $2) AS is_used,
       $3::text IS NULL OR EXISTS (SELECT FROM models m
         WHERE m.model_id = $3 AND (m.customer_id IS NULL OR m.customer_id = f.customer_id)) AS is_model_known
     FROM factory_keys f WHERE f.batch_id = $1`,
    [claim.iss, claim.jti, claim.model ?? null],
  );
  return row ? { batch: batchOf(row), isUsed: row.is_used, isModelKnown: row.is_model_known } : null;
}
