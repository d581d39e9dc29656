import { parseClaim, type Claim, type EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import { parseEnvelope, parsePayload, verifyEnvelope, type Envelope } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import { EnrolmentError, type EnrolmentErrorCode } from './errors.ts';
import type { Batch } from './factory-keys.ts';

/** A claim whose form was checked and nothing else. */
export interface ClaimToken {
  readonly envelope: Envelope;
  readonly claim: Claim;
}

/** @throws EnrolmentError `claim_malformed` */
export function readClaim(token: string): ClaimToken {
  try {
    const envelope = parseEnvelope(token);
    if (envelope.kind !== 'claim' || envelope.dictionary !== null) throw new Refusal('typ_mismatch', envelope.kind);
    return { envelope, claim: parseClaim(parsePayload(Buffer.from(envelope.payload, 'base64url'))) };
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    throw new EnrolmentError('claim_malformed', cause.code, { cause });
  }
}

/** @throws EnrolmentError `claim_signature_invalid` */
export async function verifyClaim({ envelope }: ClaimToken, batch: Pick<Batch, 'jwk'>): Promise<void> {
  try {
    const key = await importVerificationKey(batch.jwk);
    if (key.keyId !== envelope.keyId) throw new Refusal('key_unknown', envelope.keyId);
    await verifyEnvelope(envelope, key);
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    throw new EnrolmentError('claim_signature_invalid', cause.code, { cause });
  }
}

/** What a claim is judged by, besides its seal. */
export interface ClaimCase {
  readonly claim: Claim;
  readonly batch: Pick<Batch, 'modelId' | 'maxDevices' | 'used' | 'notBefore' | 'notAfter' | 'revokedAt'>;
  readonly isUsed: boolean;
  /** Whether its customer may use the model that the claim names. */
  readonly isModelKnown: boolean;
  readonly request: Pick<EnrolmentRequest, 'serialNumber' | 'model'>;
  readonly now: WallMs;
}

/** One row a reason to refuse, in the order in which they are told. */
const RULES: readonly (readonly [EnrolmentErrorCode, (one: ClaimCase) => boolean])[] = [
  ['batch_revoked', ({ batch }) => batch.revokedAt !== null],
  ['batch_not_yet_valid', ({ batch, now }) => now < batch.notBefore],
  ['batch_expired', ({ batch, now }) => now >= batch.notAfter],
  ['claim_used', ({ isUsed }) => isUsed],
  ['claim_not_yet_valid', ({ claim, now }) => now < claim.nbf * 1_000],
  ['claim_expired', ({ claim, now }) => now >= claim.exp * 1_000],
  ['claim_serial_mismatch', ({ claim, request }) => (request.serialNumber ?? claim.sub) !== claim.sub],
  ['claim_model_mismatch', ({ claim, batch }) => differ(batch.modelId ?? undefined, claim.model)],
  ['claim_model_mismatch', ({ claim, batch, request }) => differ(claim.model ?? batch.modelId, request.model)],
  ['claim_model_unknown', ({ isModelKnown }) => !isModelKnown],
  ['batch_exhausted', ({ batch }) => batch.used >= batch.maxDevices],
];

const differ = (one: string | null | undefined, other: string | undefined): boolean =>
  typeof one === 'string' && other !== undefined && one !== other;

/** @returns why the claim lets nobody in, or null */
export const faultOfClaim = (one: ClaimCase): EnrolmentErrorCode | null =>
  RULES.find(([, isBroken]) => isBroken(one))?.[0] ?? null;
