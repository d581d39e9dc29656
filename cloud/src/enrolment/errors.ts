/** Kinds of refusal that a caller handles alike; `flood`: come again later; `unready`: the service lacks something. */
export type EnrolmentErrorKind =
  | 'invalid'
  | 'forbidden'
  | 'missing'
  | 'exists'
  | 'stale'
  | 'refused'
  | 'flood'
  | 'unready';

/** Why a device is not let in, or what is wrong with what people say of it. Codes are stable; titles may change. */
export const ENROLMENT_ERRORS = {
  nonces_too_many: { kind: 'flood', title: 'Too many nonces were given to this address, or in all' },
  nonce_unknown: { kind: 'refused', title: 'The nonce was not given out, is used or has expired' },
  device_mismatch: { kind: 'refused', title: 'The key does not belong to the device that the request names' },
  key_revoked: { kind: 'forbidden', title: 'The key was revoked: a new key and an approval bring the device back' },
  endorsement_invalid: { kind: 'forbidden', title: 'The endorsement is not one of this device for this key' },
  claim_malformed: { kind: 'invalid', title: 'The claim is not a JWT of this form' },
  claim_signature_invalid: { kind: 'forbidden', title: 'The claim is not sealed by the key of its batch' },
  claim_not_yet_valid: { kind: 'forbidden', title: 'The claim is not valid yet' },
  claim_expired: { kind: 'forbidden', title: 'The claim has expired' },
  claim_used: { kind: 'forbidden', title: 'The claim was used before' },
  claim_serial_mismatch: { kind: 'forbidden', title: 'The claim is for another serial number' },
  claim_model_mismatch: { kind: 'forbidden', title: 'The claim is for another model' },
  claim_model_unknown: { kind: 'forbidden', title: 'The claim names a model that its customer does not have' },
  batch_unknown: { kind: 'forbidden', title: 'No such batch of a factory' },
  batch_revoked: { kind: 'forbidden', title: 'The batch was revoked' },
  batch_not_yet_valid: { kind: 'forbidden', title: 'The batch is not valid yet' },
  batch_expired: { kind: 'forbidden', title: 'The batch has expired' },
  batch_exhausted: { kind: 'forbidden', title: 'The batch has let in as many devices as it may' },
  report_url_missing: { kind: 'unready', title: 'The service has no address with TLS that devices could report to' },
  pending_too_many: { kind: 'flood', title: 'Too many devices of this address, or in all, wait for approval' },
  pending_unknown: { kind: 'missing', title: 'No such device waits for approval' },
  pending_changed: { kind: 'stale', title: 'What is known of the device changed since: look at it again' },
  device_ambiguous: { kind: 'refused', title: 'Its serial number is registered: say which device it is, or a new one' },
  batch_missing: { kind: 'missing', title: 'No such batch of a factory' },
  batch_exists: { kind: 'exists', title: 'There is a batch of this id, and an id is never used again' },
  batch_key_in_use: { kind: 'exists', title: 'Another batch has this key' },
  batch_bounds_invalid: { kind: 'invalid', title: 'The bounds of the batch are not valid' },
  imports_too_many: { kind: 'flood', title: 'As many lists are being imported as may be at once' },
  entry_unknown: { kind: 'missing', title: 'The factory list has no such entry' },
} as const satisfies Record<string, { kind: EnrolmentErrorKind; title: string }>;

export type EnrolmentErrorCode = keyof typeof ENROLMENT_ERRORS;

export class EnrolmentError extends Error {
  override readonly name = 'EnrolmentError';
  readonly code: EnrolmentErrorCode;

  constructor(code: EnrolmentErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? ENROLMENT_ERRORS[code].title : `${ENROLMENT_ERRORS[code].title}: ${detail}`, options);
    this.code = code;
  }

  get kind(): EnrolmentErrorKind {
    return ENROLMENT_ERRORS[this.code].kind;
  }
}
