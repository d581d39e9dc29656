import type { JWK } from 'jose';
import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import { parseEnvelope } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { keysOf, type DeviceKey } from './registry.ts';

/** All that it takes to verify what a device signed without us, for ever. */
export interface Proof {
  readonly deviceId: string;
  readonly receivedAt: string;
  readonly digest: string;
  readonly envelope: string;
  /** The key that the envelope names. */
  readonly key: JWK;
  /** Every key that the device ever had. */
  readonly keys: readonly DeviceKey[];
  /** The preset dictionary of the payload, base64; null when it is not deflated. */
  readonly dictionary: string | null;
}

/** What a row keeps of something signed. */
export interface SignedRow {
  readonly received_at: Date;
  /** Base64. */
  readonly digest: string;
  readonly envelope: string;
}

export async function proofOf(sql: Sql, scope: Scope, deviceId: string, row: SignedRow): Promise<Proof> {
  const { keyId, dictionary } = parseEnvelope(row.envelope);
  const keys = await keysOf(sql, scope, deviceId);
  const signer = keys.find((key) => key.keyId === keyId);
  if (signer === undefined) throw new Error(`No key of ${deviceId} is kept under ${keyId}`);
  return {
    deviceId,
    receivedAt: toInstant(wallMs(row.received_at.getTime())),
    digest: urlSafe(row.digest),
    envelope: row.envelope,
    key: signer.jwk,
    keys,
    dictionary: dictionary && Buffer.from(DICTIONARIES[dictionary]).toString('base64'),
  };
}

/** The digest as the protocol writes it, of base64 as the database does. */
export const urlSafe = (base64: string): string => base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
