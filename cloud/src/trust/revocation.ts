import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import type { IssuedToDevice } from './authority.ts';
import type { Revoked } from './revocation-list.ts';

/** Keeps what was issued to a device. In the transaction of the answer that brings it, so that none is out unrecorded. */
export async function recordCertificate(sql: Sql, deviceId: string, issued: IssuedToDevice): Promise<void> {
  const { serial, identityThumbprint, tlsThumbprint, authority, notBefore, notAfter } = issued;
  await sql.query(
    `INSERT INTO certificates (serial, device_id, identity_thumbprint, not_before, not_after, authority, tls_thumbprint)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [serial, deviceId, identityThumbprint, toInstant(notBefore), toInstant(notAfter), authority, tlsThumbprint],
  );
}

/**
 * Takes back certificates of a device, for good: all of them, or those that one identity key asked for. Every instance
 * hears of it when the transaction commits, and closes the device's connections. In a transaction that acts as somebody.
 * @returns how many were good until now
 */
export async function revokeCertificates(
  sql: Sql,
  deviceId: string,
  reason: string,
  identityThumbprint: string | null = null,
): Promise<number> {
  const rows = await sql.query(
    `UPDATE certificates SET revoked_at = now(), reason = $2
     WHERE device_id = $1 AND revoked_at IS NULL AND ($3::text IS NULL OR identity_thumbprint = $3) RETURNING serial`,
    [deviceId, reason, identityThumbprint],
  );
  return rows.length;
}

export interface RevokedCertificate extends Revoked {
  readonly deviceId: string;
  /** The id of the authority that issued it; null: that was not kept then. */
  readonly authority: string | null;
}

/** What revocation lists have to hold: certificates taken back, and those of retired devices, that have not expired. */
export async function readRevoked(sql: Sql, now: WallMs): Promise<RevokedCertificate[]> {
  const rows = await sql.query<{ serial: string; device_id: string; revoked_at: Date; authority: string | null }>(
    `SELECT c.serial, c.device_id, c.authority, coalesce(c.revoked_at, d.retired_at) AS revoked_at
     FROM certificates c JOIN devices d USING (device_id)
     WHERE coalesce(c.revoked_at, d.retired_at) IS NOT NULL AND c.not_after > $1 ORDER BY c.serial`,
    [toInstant(now)],
  );
  return rows.map(({ serial, device_id, revoked_at, authority }) => ({
    serial,
    deviceId: device_id,
    revokedAt: wallMs(revoked_at.getTime()),
    authority,
  }));
}
