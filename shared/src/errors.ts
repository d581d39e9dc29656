/**
 * Every refusal has a stable code. Callers switch on codes; messages may change.
 * `permanent` says that sending the same bytes again can never help: an answer names
 * such a refusal, and the device never sends that envelope again.
 */
export const REFUSALS = {
  // Shape: decided before any signature is looked at.
  envelope_too_large: { permanent: true, title: 'The envelope is larger than 64 KiB' },
  envelope_malformed: { permanent: true, title: 'The envelope is not a compact JWS' },
  envelope_not_canonical: { permanent: true, title: 'The envelope holds base64url that is not canonical' },
  header_invalid: { permanent: true, title: 'The protected header is not one this protocol knows' },
  alg_refused: { permanent: true, title: 'The algorithm is not a signature this protocol accepts' },
  typ_mismatch: { permanent: true, title: 'The header names another kind of message than the topic' },
  cty_unknown: { permanent: true, title: 'The payload is compressed in an unknown way' },
  topic_foreign: { permanent: true, title: 'The topic is not one a device may publish to' },
  // Signature: who says so.
  device_unknown: { permanent: false, title: 'No device is registered under this id' },
  device_retired: { permanent: false, title: 'The device is retired' },
  key_unknown: { permanent: false, title: 'The key is not one of this device' },
  key_revoked: { permanent: false, title: 'The key of this device was taken back' },
  signature_invalid: { permanent: true, title: 'The signature does not fit the content and the key' },
  // Meaning: only asked of content that is proved to come from the device.
  payload_too_large: { permanent: true, title: 'The payload inflates to more than 256 KiB' },
  payload_malformed: { permanent: true, title: 'The payload does not inflate to JSON in UTF-8' },
  version_unsupported: { permanent: true, title: 'The payload has a version this cloud does not take' },
  payload_invalid: { permanent: true, title: 'The payload does not fit its schema' },
  device_mismatch: { permanent: true, title: 'The payload names another device than the topic' },
  identity_conflict: { permanent: true, title: 'Another report was recorded under this identity (a clone?)' },
  boot_conflict: { permanent: true, title: 'This start was reported from another boot' },
  payload_unstorable: { permanent: true, title: 'The database cannot hold this payload' },
  sequence_abandoned: { permanent: true, title: 'The sequence lies in a gap that was given up long ago' },
  inventory_too_often: { permanent: false, title: 'The device sends more inventories than are recorded in an hour' },
  crash_too_often: { permanent: false, title: 'The device sends more crash reports than are recorded in an hour' },
  uptime_backwards: { permanent: true, title: 'The uptime contradicts the order of reports in this boot' },
} as const satisfies Record<string, { permanent: boolean; title: string }>;

export type RefusalCode = keyof typeof REFUSALS;

/** A message that is refused, with its stable code; `cause` keeps what the library said. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;

  constructor(code: RefusalCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? REFUSALS[code].title : `${REFUSALS[code].title}: ${detail}`, options);
    this.code = code;
  }

  get permanent(): boolean {
    return REFUSALS[this.code].permanent;
  }
}
