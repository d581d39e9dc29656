import { FleetError } from '../customers/errors.ts';
import { actAs } from '../customers/scope.ts';
import type { Sql, Store } from '../ports.ts';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Authority, IssuedToDevice } from '../trust/authority.ts';
import { requireRoom } from '../trust/certificate-bounds.ts';
import { recordCertificate } from '../trust/revocation.ts';
import { requireGoodTlsKey } from '../trust/tls-keys.ts';
import type { GoodClaim, NewcomerDevice, Verdict } from './decide.ts';
import { EnrolmentError } from './errors.ts';
import { lockSerialNumber, registerNewcomer } from './newcomer.ts';
import type { ProvedRequest } from './request.ts';
import { rotate } from './rotation.ts';
import type { Transport } from './transport.ts';

export interface LetIn {
  readonly deviceId: string;
  /** Null when somebody else issues it, after the transaction. */
  readonly issued: IssuedToDevice | null;
}

export interface LettingIn {
  readonly store: Store;
  readonly authority: Pick<Authority, 'issueDevice'>;
  readonly transport?: Transport | null;
}

type Accepted = Extract<Verdict, { kind: 'renew' | 'rotate' | 'register' }>;

/** Who stands for it in the history. */
export const actorOf = (verdict: Accepted): string => {
  if (verdict.kind !== 'register') return `device:${verdict.deviceId}`;
  return verdict.claim === null ? 'factory-list' : `factory:${verdict.claim.batchId}`;
};

/**
 * Carries a decision out in one transaction: the device, its claim, its certificate, or nothing of them.
 * @throws EnrolmentError `claim_used`, `batch_revoked`, `batch_exhausted`, `key_revoked` when another was quicker;
 *   TrustError of the certificate request and of its key, and `certificates_too_many`; of a race FleetError `key_in_use`,
 *   `device_exists`, EnrolmentError `pending_changed`
 */
export function letIn(parts: LettingIn, proved: ProvedRequest, verdict: Accepted, now: WallMs): Promise<LetIn> {
  return parts.store.transaction(async (sql) => {
    const deviceId = await deviceOf(sql, proved, verdict);
    const request = transportRequest(proved, deviceId);
    // A newcomer's row and key are this transaction's own: nobody can have taken its key back, or asked for more with it.
    if (verdict.kind !== 'register') await requireStanding(sql, parts, request);
    const issued = await issue(sql, parts, request, now);
    // Last: everybody of a batch waits for its row.
    if (verdict.kind === 'register' && verdict.claim !== null) await countClaim(sql, verdict.claim);
    return { deviceId, issued };
  });
}

/** What a certificate is asked for with. */
export const transportRequest = ({ request, key }: ProvedRequest, deviceId: string) => ({
  csr: new Uint8Array(Buffer.from(request.csr, 'base64url')),
  deviceId,
  identityThumbprint: key.thumbprint,
});

async function issue(
  sql: Sql,
  { authority, transport = null }: LettingIn,
  request: ReturnType<typeof transportRequest>,
  now: WallMs,
): Promise<IssuedToDevice | null> {
  if (transport !== null) {
    await requireGoodTlsKey(sql, await transport.check(sql, request));
    return null;
  }
  const issued = await authority.issueDevice({ ...request, now: wallMs(now) });
  // Who is refused here never sees the certificate.
  await requireGoodTlsKey(sql, issued.tlsThumbprint);
  await recordCertificate(sql, request.deviceId, issued);
  return issued;
}

async function requireStanding(
  sql: Sql,
  { transport = null }: LettingIn,
  request: ReturnType<typeof transportRequest>,
): Promise<void> {
  await requireGoodKey(sql, request);
  if (transport === null) await requireRoom(sql, request.deviceId);
}

/**
 * An operator may have taken it back since it was decided: then there is no certificate for it. Whoever takes back keys
 * or certificates of the device locks its row first, as is done here: so what is read from now on stays true.
 */
async function requireGoodKey(
  sql: Sql,
  { deviceId, identityThumbprint }: ReturnType<typeof transportRequest>,
): Promise<void> {
  await sql.query('SELECT 1 FROM devices WHERE device_id = $1 FOR KEY SHARE', [deviceId]);
  const good = await sql.query('SELECT 1 FROM device_keys WHERE thumbprint = $1 AND revoked_at IS NULL FOR SHARE', [
    identityThumbprint,
  ]);
  if (good.length === 0) throw new EnrolmentError('key_revoked');
}

async function deviceOf(sql: Sql, proved: ProvedRequest, verdict: Accepted): Promise<string> {
  switch (verdict.kind) {
    case 'renew':
      return verdict.deviceId;
    case 'rotate':
      await rotate(sql, actorOf(verdict), { ...verdict, publicKey: proved.key.jwk });
      return verdict.deviceId;
    case 'register':
      return register(sql, proved.key, verdict);
  }
}

async function register(
  sql: Sql,
  { thumbprint, jwk }: ProvedRequest['key'],
  verdict: Extract<Verdict, { kind: 'register' }>,
): Promise<string> {
  const actor = actorOf(verdict);
  await requireNoTwin(sql, verdict.device);
  // First, as for who approves it: the two would wait for each other.
  await leaveWaiting(sql, thumbprint);
  const { deviceId } = await registerNewcomer(sql, actor, { thumbprint, jwk, ...verdict.device });
  if (verdict.claim === null) await markListed(sql, actor, thumbprint, deviceId);
  else await useClaim(sql, verdict.claim, deviceId);
  return deviceId;
}

/** @throws EnrolmentError `pending_changed` when a human said no meanwhile */
async function leaveWaiting(sql: Sql, thumbprint: string): Promise<void> {
  const [left] = await sql.query('DELETE FROM pending_enrolments WHERE thumbprint = $1 RETURNING rejected_at', [
    thumbprint,
  ]);
  if (left && left['rejected_at'] !== null) throw new EnrolmentError('pending_changed', thumbprint);
}

async function markListed(sql: Sql, actor: string, thumbprint: string, deviceId: string): Promise<void> {
  await actAs(sql, actor);
  await sql.query('UPDATE factory_list SET device_id = $2 WHERE thumbprint = $1', [thumbprint, deviceId]);
}

async function useClaim(sql: Sql, { batchId, jti, serialNumber }: GoodClaim, deviceId: string): Promise<void> {
  const used = await sql.query(
    `INSERT INTO used_claims (batch_id, jti, serial_number, device_id) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING RETURNING jti`,
    [batchId, jti, serialNumber, deviceId],
  );
  if (used.length === 0) throw new EnrolmentError('claim_used');
}

async function countClaim(sql: Sql, { batchId }: GoodClaim): Promise<void> {
  const counted = await sql.query(
    `UPDATE factory_keys SET used = used + 1
     WHERE batch_id = $1 AND revoked_at IS NULL AND used < max_devices RETURNING used`,
    [batchId],
  );
  if (counted.length > 0) return;
  const [batch] = await sql.query<{ revoked: boolean }>(
    'SELECT revoked_at IS NOT NULL AS revoked FROM factory_keys WHERE batch_id = $1',
    [batchId],
  );
  throw new EnrolmentError(batch?.revoked === false ? 'batch_exhausted' : 'batch_revoked', batchId);
}

/** Of two keys that come at once with one serial number, the second one is decided on again. */
async function requireNoTwin(sql: Sql, { serialNumber, customerId }: NewcomerDevice): Promise<void> {
  await lockSerialNumber(sql, serialNumber);
  const twins = await sql.query(
    'SELECT 1 FROM devices WHERE serial_number = $1 AND customer_id = $2 AND retired_at IS NULL',
    [serialNumber, customerId],
  );
  if (twins.length > 0) throw new FleetError('device_exists', serialNumber);
}
