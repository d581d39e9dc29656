import { toInstant } from '@paddock/shared/time.ts';
import type { AwsCertificate, Sql } from '../ports.ts';
import { keyDigestOf, transportCertificate } from './certificate.ts';
import type { Certificate, CertificateStep, Review, Thing, ThingStep } from './progress.ts';

/** What is known of a device and of what it has in AWS IoT. */
export interface Known {
  readonly thing: Thing;
  /** Every one that may still exist there, oldest request first. */
  readonly certificates: readonly Certificate[];
  readonly model: string | null;
  readonly serialNumber: string | null;
  /** retired: for good; barred: it has no good key. */
  readonly standing: 'good' | 'barred' | 'retired';
  readonly review: Review;
  /** Failures in a row of cleaning up. */
  readonly failures: number;
  /** The database's clock, in ms since 1970. */
  readonly now: number;
}

interface KnownRow {
  failures: number;
  step: ThingStep;
  review: Review;
  attributes: Record<string, string>;
  model: string | null;
  serial_number: string | null;
  is_retired: boolean;
  has_key: boolean;
  now: Date;
  certificates: Certificate[] | null;
}

const KNOWN = `
  SELECT t.step, t.attributes, t.failures, t.review, d.model_id AS model, d.serial_number, d.retired_at IS NOT NULL AS is_retired,
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
    review: row.review,
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

const REQUEST = `
  WITH asked AS (
    INSERT INTO aws_certificates (device_id, key_digest, step) VALUES ($1, $2, 'requested')
    RETURNING request_id, device_id, key_digest)
  INSERT INTO aws_issued (request_id, device_id, key_digest, identity_thumbprint)
  SELECT request_id, device_id, key_digest, $3 FROM asked RETURNING request_id`;

export async function recordRequest(
  sql: Sql,
  deviceId: string,
  { keyDigest, identityThumbprint }: { readonly keyDigest: string; readonly identityThumbprint: string },
): Promise<number> {
  const [row] = await sql.query<{ request_id: number }>(REQUEST, [deviceId, keyDigest, identityThumbprint]);
  if (row === undefined) throw new Error('The database did not keep a request');
  // A device that was barred and is good again is looked at anew when it is barred again.
  await sql.query("UPDATE aws_things SET review = 'none' WHERE device_id = $1 AND review = 'done'", [deviceId]);
  return row.request_id;
}

/** One that was taken back while AWS made it leaves at once. */
export async function recordCreated(sql: Sql, requestId: number, { id, arn, pem }: AwsCertificate): Promise<void> {
  await sql.query(
    `UPDATE aws_certificates SET step = CASE step WHEN 'requested' THEN 'created' ELSE 'leaving' END,
       certificate_id = $2, arn = $3, pem = $4, changed_at = clock_timestamp() WHERE request_id = $1`,
    [requestId, id, arn, pem],
  );
  const { serial, notBefore, notAfter } = transportCertificate(pem, 0);
  await sql.query('UPDATE aws_issued SET serial = $2, not_before = $3, not_after = $4 WHERE request_id = $1', [
    requestId,
    serial,
    toInstant(notBefore),
    toInstant(notAfter),
  ]);
}

/** What is on its way out, because somebody took it back meanwhile, stays so. */
export async function recordStep(sql: Sql, requestId: number, step: CertificateStep): Promise<void> {
  await sql.query(
    `UPDATE aws_certificates SET step = $2, changed_at = clock_timestamp()
     WHERE request_id = $1 AND step NOT IN ('leaving', 'lost')`,
    [requestId, step],
  );
}

/** Certificates that were found, and are not needed. */
export async function recordLeaving(sql: Sql, deviceId: string, found: readonly AwsCertificate[]): Promise<void> {
  for (const { id, arn, pem } of found)
    await sql.query(
      `INSERT INTO aws_certificates (device_id, key_digest, step, certificate_id, arn, pem)
       VALUES ($1, $2, 'leaving', $3, $4, $5) ON CONFLICT (certificate_id) DO NOTHING`,
      [deviceId, keyDigestOf(pem), id, arn, pem],
    );
}

/** Certificates that hang on a thing that may be on no record either. */
export async function recordForeign(sql: Sql, deviceId: string, found: readonly AwsCertificate[]): Promise<void> {
  await sql.query("UPDATE aws_things SET step = 'made' WHERE device_id = $1 AND step = 'wanted'", [deviceId]);
  await recordLeaving(sql, deviceId, found);
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

/** AWS refused to make it: as if it had never been asked. */
export async function forgetRequest(sql: Sql, requestId: number): Promise<void> {
  await forgetCertificate(sql, requestId);
  await sql.query('DELETE FROM aws_issued WHERE request_id = $1', [requestId]);
}

export async function recordRemoved(sql: Sql, requestId: number): Promise<void> {
  await forgetCertificate(sql, requestId);
  await sql.query('UPDATE aws_issued SET removed_at = clock_timestamp() WHERE request_id = $1', [requestId]);
}

export async function recordReview(sql: Sql, deviceId: string, review: Review): Promise<void> {
  await sql.query('UPDATE aws_things SET review = $2 WHERE device_id = $1', [deviceId, review]);
}

/** The device's row is locked first, as by everybody who takes certificates back. */
export async function beginThing(sql: Sql, deviceId: string): Promise<void> {
  await sql.query(
    `INSERT INTO aws_things (device_id) SELECT device_id FROM devices WHERE device_id = $1 FOR KEY SHARE
     ON CONFLICT DO NOTHING`,
    [deviceId],
  );
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
