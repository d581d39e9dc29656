import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { AwsCertificate, Sql } from '../ports.ts';
import type { Certificate, CertificateStep, Thing, ThingStep } from './progress.ts';

/** What is known of a device and of what it has in AWS IoT. */
export interface Known {
  readonly thing: Thing;
  /** Every one that may still exist there, oldest request first. */
  readonly certificates: readonly Certificate[];
  readonly model: string | null;
  readonly serialNumber: string | null;
  /** retired: for good; barred: it has no good key. */
  readonly standing: 'good' | 'barred' | 'retired';
  /** Failures in a row of cleaning up. */
  readonly failures: number;
  /** The database's clock, in ms since 1970. */
  readonly now: number;
}

interface KnownRow {
  failures: number;
  step: ThingStep;
  attributes: Record<string, string>;
  model: string | null;
  serial_number: string | null;
  is_retired: boolean;
  has_key: boolean;
  now: Date;
  certificates: Certificate[] | null;
}

const KNOWN = `
  SELECT t.step, t.attributes, t.failures, d.model_id AS model, d.serial_number, d.retired_at IS NOT NULL AS is_retired,
    EXISTS (SELECT FROM device_keys k WHERE k.device_id = d.device_id AND k.revoked_at IS NULL) AS has_key,
    clock_timestamp() AS now,
    (SELECT jsonb_agg(jsonb_build_object('requestId', request_id, 'keyDigest', key_digest, 'step', c.step,
        'id', certificate_id, 'arn', arn, 'pem', pem,
        'askedAt', (extract(epoch FROM asked_at) * 1000)::bigint,
        'changedAt', (extract(epoch FROM changed_at) * 1000)::bigint) ORDER BY request_id)
     FROM aws_certificates c WHERE c.device_id = d.device_id) AS certificates
  FROM aws_things t JOIN devices d USING (device_id) WHERE d.device_id = $1`;

/** Null when nothing was ever begun for the device, or everything of it is gone. */
export async function readKnown(sql: Sql, deviceId: string): Promise<Known | null> {
  const [row] = await sql.query<KnownRow>(KNOWN, [deviceId]);
  if (row === undefined) return null;
  return {
    thing: { step: row.step, attributes: row.attributes },
    certificates: row.certificates ?? [],
    model: row.model,
    serialNumber: row.serial_number,
    standing: standingOf(row),
    failures: row.failures,
    now: row.now.getTime(),
  };
}

function standingOf(row: Pick<KnownRow, 'is_retired' | 'has_key'>): Known['standing'] {
  if (row.is_retired) return 'retired';
  return row.has_key ? 'good' : 'barred';
}

export async function recordThing(
  sql: Sql,
  deviceId: string,
  step: ThingStep,
  attributes?: Thing['attributes'],
): Promise<void> {
  await sql.query(
    'UPDATE aws_things SET step = $2, attributes = coalesce($3::jsonb, attributes) WHERE device_id = $1',
    [deviceId, step, attributes === undefined ? null : JSON.stringify(attributes)],
  );
}

export async function recordRequest(sql: Sql, deviceId: string, keyDigest: string): Promise<number> {
  const [row] = await sql.query<{ request_id: number }>(
    "INSERT INTO aws_certificates (device_id, key_digest, step) VALUES ($1, $2, 'requested') RETURNING request_id",
    [deviceId, keyDigest],
  );
  if (row === undefined) throw new Error('The database did not keep a request');
  return row.request_id;
}

export async function recordCreated(sql: Sql, requestId: number, { id, arn, pem }: AwsCertificate): Promise<void> {
  await sql.query(
    `UPDATE aws_certificates SET step = 'created', certificate_id = $2, arn = $3, pem = $4,
       changed_at = clock_timestamp() WHERE request_id = $1`,
    [requestId, id, arn, pem],
  );
}

export async function recordStep(sql: Sql, requestId: number, step: CertificateStep): Promise<void> {
  await sql.query('UPDATE aws_certificates SET step = $2, changed_at = clock_timestamp() WHERE request_id = $1', [
    requestId,
    step,
  ]);
}

/** Certificates that were found, and are not needed. */
export async function recordLeaving(
  sql: Sql,
  deviceId: string,
  keyDigest: string,
  found: readonly AwsCertificate[],
): Promise<void> {
  for (const { id, arn, pem } of found)
    await sql.query(
      `INSERT INTO aws_certificates (device_id, key_digest, step, certificate_id, arn, pem)
       VALUES ($1, $2, 'leaving', $3, $4, $5) ON CONFLICT (certificate_id) DO NOTHING`,
      [deviceId, keyDigest, id, arn, pem],
    );
}

/** It takes the place of the one before it, which leaves. */
export async function recordActive(sql: Sql, deviceId: string, requestId: number): Promise<void> {
  await sql.query(
    `UPDATE aws_certificates SET step = 'leaving', changed_at = clock_timestamp()
     WHERE device_id = $1 AND step = 'active'`,
    [deviceId],
  );
  await recordStep(sql, requestId, 'active');
}

export async function forgetCertificate(sql: Sql, requestId: number): Promise<void> {
  await sql.query('DELETE FROM aws_certificates WHERE request_id = $1', [requestId]);
}

export async function forgetThing(sql: Sql, deviceId: string): Promise<void> {
  await sql.query('DELETE FROM aws_things WHERE device_id = $1', [deviceId]);
}

export async function beginThing(sql: Sql, deviceId: string): Promise<void> {
  await sql.query('INSERT INTO aws_things (device_id) VALUES ($1) ON CONFLICT DO NOTHING', [deviceId]);
}

/** When cleaning up is due again, and how often it failed in a row by now. */
export async function recordTurn(
  sql: Sql,
  deviceId: string,
  { failures, againInMs }: { readonly failures: number; readonly againInMs: number },
): Promise<void> {
  await sql.query(
    `UPDATE aws_things SET failures = $2, retry_at = clock_timestamp() + $3 * interval '1 millisecond'
     WHERE device_id = $1`,
    [deviceId, failures, againInMs],
  );
}

/** Which of these certificates nobody knows. */
export async function strangersAmong(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    `SELECT id FROM unnest($1::text[]) AS id
     WHERE NOT EXISTS (SELECT FROM aws_certificates WHERE certificate_id = id)`,
    [ids],
  );
  return rows.map(({ id }) => id);
}

const DUE = `
  SELECT t.device_id FROM aws_things t JOIN devices d USING (device_id)
  WHERE t.retry_at <= clock_timestamp() AND t.held_until <= clock_timestamp() AND (
    d.retired_at IS NOT NULL
    OR EXISTS (SELECT FROM aws_certificates c WHERE c.device_id = t.device_id AND (c.step = 'leaving'
      OR c.step = 'lost' AND c.asked_at <= $1
      OR c.step NOT IN ('leaving', 'lost', 'active') AND c.changed_at <= $2))
    OR NOT EXISTS (SELECT FROM device_keys k WHERE k.device_id = t.device_id AND k.revoked_at IS NULL)
      AND EXISTS (SELECT FROM aws_certificates c WHERE c.device_id = t.device_id AND c.step <> 'lost'))
  ORDER BY t.retry_at, t.device_id LIMIT $3`;

/** Devices of which something is to be cleaned up now. */
export async function dueDevices(
  sql: Sql,
  before: { readonly lost: number; readonly idle: number },
  limit: number,
): Promise<string[]> {
  const rows = await sql.query<{ device_id: string }>(DUE, [
    toInstant(wallMs(before.lost)),
    toInstant(wallMs(before.idle)),
    limit,
  ]);
  return rows.map(({ device_id }) => device_id);
}
