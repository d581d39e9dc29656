import { parseEndorsement } from '@paddock/shared/enrolment.ts';
import { parseEnvelope, parsePayload, verifyEnvelope } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import type { Sql } from '../ports.ts';
import { EnrolmentError } from './errors.ts';
import { readEndorser, type Owner } from './known.ts';

/**
 * @param expected what the endorsement has to speak of: the new key's thumbprint, and the nonce of the request
 * @returns whose key sealed it: a device that may be retired, a key that may be revoked
 * @throws EnrolmentError `endorsement_invalid`
 */
export async function endorserOf(
  sql: Sql,
  token: string,
  expected: { readonly thumbprint: string; readonly nonce: string },
): Promise<Owner> {
  try {
    const envelope = parseEnvelope(token);
    if (envelope.kind !== 'endorsement' || envelope.dictionary !== null) throw new Refusal('typ_mismatch');
    const said = parseEndorsement(parsePayload(Buffer.from(envelope.payload, 'base64url')));
    const endorser = await readEndorser(sql, said.device, envelope.keyId);
    if (endorser === null) throw new Refusal('key_unknown', envelope.keyId);
    await verifyEnvelope(envelope, await importVerificationKey(endorser.jwk));
    if (said.thumbprint !== expected.thumbprint || said.nonce !== expected.nonce) throw new Refusal('payload_invalid');
    return endorser.owner;
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    throw new EnrolmentError('endorsement_invalid', cause.code, { cause });
  }
}
