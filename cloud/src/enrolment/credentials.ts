import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { revokeAtAws } from '../aws/issued.ts';
import { checkedText } from '../customers/attributes.ts';
import { FleetError } from '../customers/errors.ts';
import { actAs, type Actor, type Scope } from '../customers/scope.ts';
import { readDevice } from '../devices/registry.ts';
import type { Sql } from '../ports.ts';
import { revokeCertificates } from '../trust/revocation.ts';
import { revokeTlsKeys } from '../trust/tls-keys.ts';

/** A client certificate of a device. */
export interface DeviceCertificate {
  /** In hexadecimal. */
  readonly serial: string;
  /** The authority that issued it, by the beginning of its fingerprint, or `aws-iot`; null: that was not kept then. */
  readonly authority: string | null;
  /** RFC 7638 thumbprint of the identity key that asked for it. */
  readonly keyThumbprint: string;
  readonly issuedAt: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** When it was taken back, or was removed in AWS IoT because it was not needed any more. */
  readonly revokedAt: string | null;
  /** `not_needed` of one that was removed. */
  readonly reason: string | null;
}

/** An identity key of a device. */
export interface IdentityKey {
  readonly thumbprint: string;
  readonly addedAt: string;
  readonly revokedAt: string | null;
  readonly reason: string | null;
}

/** What an operator takes back, and why. */
export interface Revocation {
  readonly deviceId: string;
  readonly reason: string;
}

/** As many as a device can get before rows of it are forgotten, and then some. */
const MOST = 2_000;

const CERTIFICATES = `
  SELECT serial, left(authority, 12) AS authority, identity_thumbprint, issued_at, not_before, not_after, revoked_at,
    reason
  FROM certificates WHERE device_id = $1
  UNION ALL
  SELECT serial, 'aws-iot', identity_thumbprint, asked_at, not_before, not_after, coalesce(revoked_at, removed_at),
    coalesce(reason, CASE WHEN removed_at IS NOT NULL THEN 'not_needed' END)
  FROM aws_issued WHERE device_id = $1 AND serial IS NOT NULL
  ORDER BY issued_at DESC, serial LIMIT ${MOST}`;

/** Newest first. @throws FleetError `device_unknown` */
export async function certificatesOf(sql: Sql, scope: Scope, deviceId: string): Promise<DeviceCertificate[]> {
  await readDevice(sql, scope, deviceId);
  const rows = await sql.query<{
    serial: string;
    authority: string | null;
    identity_thumbprint: string;
    issued_at: Date;
    not_before: Date;
    not_after: Date;
    revoked_at: Date | null;
    reason: string | null;
  }>(CERTIFICATES, [deviceId]);
  return rows.map((row) => ({
    serial: row.serial,
    authority: row.authority,
    keyThumbprint: row.identity_thumbprint,
    issuedAt: instant(row.issued_at),
    notBefore: instant(row.not_before),
    notAfter: instant(row.not_after),
    revokedAt: row.revoked_at && instant(row.revoked_at),
    reason: row.reason,
  }));
}

/** Every one that it ever had, oldest first. @throws FleetError `device_unknown` */
export async function identityKeysOf(sql: Sql, scope: Scope, deviceId: string): Promise<IdentityKey[]> {
  await readDevice(sql, scope, deviceId);
  const rows = await sql.query<{ thumbprint: string; added_at: Date; revoked_at: Date | null; reason: string | null }>(
    `SELECT thumbprint, added_at, revoked_at, reason FROM device_keys WHERE device_id = $1
     ORDER BY added_at, thumbprint`,
    [deviceId],
  );
  return rows.map((row) => ({
    thumbprint: row.thumbprint,
    addedAt: instant(row.added_at),
    revokedAt: row.revoked_at && instant(row.revoked_at),
    reason: row.reason,
  }));
}

/**
 * Takes back all certificates of a device, and their TLS keys; with its identity key and a new TLS key it gets another
 * one. In a transaction.
 * @returns how many were good until now
 * @throws FleetError `device_unknown`, `text_invalid`
 */
export async function revokeAllCertificates(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  { deviceId, reason }: Revocation,
): Promise<number> {
  checkedText(reason);
  await lockDevice(sql, scope, deviceId);
  await actAs(sql, actor);
  await revokeTlsKeys(sql, deviceId);
  return (await revokeCertificates(sql, deviceId, reason)) + (await revokeAtAws(sql, deviceId, reason));
}

/**
 * Takes back an identity key for good, and the certificates that were given for it with their TLS keys: nothing that it
 * signs is believed any more, and it gets no certificate. In a transaction; again for a revoked one changes nothing.
 * @returns how many certificates were good until now
 * @throws FleetError `device_unknown`, `key_unknown`, `text_invalid`
 */
export async function revokeIdentityKey(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  { deviceId, reason, thumbprint }: Revocation & { readonly thumbprint: string },
): Promise<number> {
  checkedText(reason);
  await lockDevice(sql, scope, deviceId);
  await actAs(sql, actor);
  const found = await sql.query('SELECT 1 FROM device_keys WHERE device_id = $1 AND thumbprint = $2', [
    deviceId,
    thumbprint,
  ]);
  if (found.length === 0) throw new FleetError('key_unknown', thumbprint);
  await sql.query(
    `UPDATE device_keys SET revoked_at = now(), reason = $3
     WHERE device_id = $1 AND thumbprint = $2 AND revoked_at IS NULL`,
    [deviceId, thumbprint, reason],
  );
  await revokeTlsKeys(sql, deviceId, thumbprint);
  const own = await revokeCertificates(sql, deviceId, reason, thumbprint);
  return own + (await revokeAtAws(sql, deviceId, reason, thumbprint));
}

/** Of two who change the keys of a device at once, the second one sees what the first one did. */
async function lockDevice(sql: Sql, scope: Scope, deviceId: string): Promise<void> {
  await readDevice(sql, scope, deviceId);
  await sql.query('SELECT 1 FROM devices WHERE device_id = $1 FOR UPDATE', [deviceId]);
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
