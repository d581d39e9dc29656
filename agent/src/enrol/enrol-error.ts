/** What can go wrong between this device and the enrolment of its cloud. */
export const ENROL_FAULTS = {
  claim_malformed: 'The claim is no JWT that names url, ca and root',
  root_invalid: 'The fleet root is not a public key',
  service_refused: 'The enrolment service refuses',
  service_malformed: 'The enrolment service says what cannot be understood',
  key_list_seal: 'A list of keys is not sealed by the root before it',
  key_list_version: 'A list of keys has another version than it should have',
  key_list_epoch: 'A list of keys has a smaller epoch than the one before',
  key_list_old: 'The list of keys is older than the one that is known',
  enrolled_mismatch: 'The answer is to another request',
  enrolled_expired: 'The answer came after its expiry',
  enrolled_incomplete: 'The answer lets the device in and lacks what it needs for that',
  certificate_foreign: 'The certificate is not for this device and its key',
  device_changed: 'The cloud knows this device under another id than before',
} as const;
export type EnrolFault = keyof typeof ENROL_FAULTS;

export class EnrolError extends Error {
  override readonly name = 'EnrolError';
  readonly code: EnrolFault;
  /** What the cloud called it, and how long it wants to be left alone. */
  readonly refusal: { readonly code: string; readonly retryAfterSeconds: number | null } | null;
  constructor(code: EnrolFault, detail?: string, options: ErrorOptions & Pick<Partial<EnrolError>, 'refusal'> = {}) {
    super(detail === undefined ? ENROL_FAULTS[code] : `${ENROL_FAULTS[code]}: ${detail}`, options);
    this.code = code;
    this.refusal = options.refusal ?? null;
  }
}
