import type { Sql } from '../ports.ts';
import { TrustError } from './errors.ts';

const STANDING = `
  SELECT EXISTS (SELECT FROM device_keys WHERE thumbprint = $1) AS is_identity,
    EXISTS (SELECT FROM revoked_tls_keys WHERE thumbprint = $1) AS is_revoked`;

/**
 * Whether a certificate may be given for this TLS key. In the transaction that records the certificate, and after the
 * device's row is locked: then no revocation comes between.
 * @throws TrustError `csr_key_is_identity` for an identity key of whatever device, `csr_key_revoked`
 */
export async function requireGoodTlsKey(sql: Sql, thumbprint: string): Promise<void> {
  const [row] = await sql.query<{ is_identity: boolean; is_revoked: boolean }>(STANDING, [thumbprint]);
  if (row?.is_identity) throw new TrustError('csr_key_is_identity');
  if (row?.is_revoked) throw new TrustError('csr_key_revoked');
}

/**
 * Takes back the TLS keys of a device's certificates, for good: of all of them, or of those that one identity key asked
 * for, whatever became of the certificates. In a transaction that acts as somebody.
 */
export async function revokeTlsKeys(
  sql: Sql,
  deviceId: string,
  identityThumbprint: string | null = null,
): Promise<void> {
  await sql.query(
    `INSERT INTO revoked_tls_keys (thumbprint, device_id)
     SELECT DISTINCT tls_thumbprint, device_id FROM certificates
     WHERE device_id = $1 AND tls_thumbprint IS NOT NULL AND ($2::text IS NULL OR identity_thumbprint = $2)
     ON CONFLICT DO NOTHING`,
    [deviceId, identityThumbprint],
  );
}
