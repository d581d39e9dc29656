import { digestOf, openEnvelope, parseEnvelope, type Inflate } from '@paddock/shared/envelope.ts';
import { parseEnrolmentRequest, type EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { importVerificationKey, KeyError, type VerificationKey } from '@paddock/shared/keys.ts';

/** A request whose sender holds the key that it names. Whether that key may come in is another question. */
export interface ProvedRequest {
  readonly request: EnrolmentRequest;
  readonly key: VerificationKey;
  /** What the answer is bound to. */
  readonly digest: string;
}

/** The key comes in the payload that it signs, so the payload is read before the signature: bounded, and not inflated. */
const AS_IT_STANDS: Inflate = {
  inflate: () => {
    throw new Refusal('cty_unknown', 'an enrolment request is not deflated');
  },
};

/**
 * Shape, then the key that the payload names, then the signature by that key.
 * @throws Refusal with the code of what is wrong; `header_invalid` when `kid` is not that of the payload's key,
 *   KeyError `key_unsupported`
 */
export async function readRequest(body: string): Promise<ProvedRequest> {
  const envelope = parseEnvelope(body);
  if (envelope.kind !== 'enrolment') throw new Refusal('typ_mismatch', envelope.kind);
  if (envelope.dictionary !== null) throw new Refusal('cty_unknown', 'an enrolment request is not deflated');
  const key = await importVerificationKey(keyIn(envelope.payload));
  if (key.keyId !== envelope.keyId) throw new Refusal('header_invalid', 'kid is not that of the key');
  const request = parseEnrolmentRequest(await openEnvelope(envelope, key, AS_IT_STANDS));
  return { request, key, digest: await digestOf(envelope) };
}

/** Believes nothing: what it finds has to verify the whole. */
function keyIn(payload: string): { kty?: string; crv?: string; x?: string; y?: string } {
  try {
    const said: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    const jwk: unknown = typeof said === 'object' && said !== null && 'jwk' in said ? said.jwk : null;
    if (typeof jwk === 'object' && jwk !== null) return { ...jwk };
  } catch (cause) {
    throw new Refusal('payload_malformed', undefined, { cause });
  }
  throw new KeyError('The request names no key');
}
