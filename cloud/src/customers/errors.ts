/** What went wrong, in kinds that a caller handles alike; `stale` is an edit of something that changed meanwhile. */
export type FleetErrorKind = 'missing' | 'exists' | 'stale' | 'refused' | 'forbidden' | 'invalid';

/** Every refusal of the fleet's records has a stable code. Callers switch on codes; messages may change. */
export const FLEET_ERRORS = {
  device_unknown: { kind: 'missing', title: 'No such device' },
  customer_unknown: { kind: 'missing', title: 'No such customer' },
  site_unknown: { kind: 'missing', title: 'No such site' },
  model_unknown: { kind: 'missing', title: 'No such model' },
  token_unknown: { kind: 'missing', title: 'No such API token' },
  key_unknown: { kind: 'missing', title: 'The device has no such key' },
  device_exists: { kind: 'exists', title: 'This device id was given before, and an id is never used again' },
  customer_exists: { kind: 'exists', title: 'There is a customer of this id' },
  site_exists: { kind: 'exists', title: 'There is a site of this id' },
  model_exists: { kind: 'exists', title: 'There is a model of this id' },
  key_in_use: { kind: 'exists', title: 'This public key is registered for another device' },
  version_conflict: { kind: 'stale', title: 'Somebody else changed it meanwhile: read it again' },
  device_retired: { kind: 'refused', title: 'The device is retired' },
  site_of_other_customer: { kind: 'refused', title: 'The site belongs to another customer than the device' },
  model_of_other_customer: { kind: 'refused', title: 'The model belongs to another customer than the device' },
  scope_forbidden: { kind: 'forbidden', title: 'The token does not reach this customer' },
  id_invalid: { kind: 'invalid', title: 'The id is not one that can be given' },
  text_invalid: { kind: 'invalid', title: 'The text is empty, too long or not text' },
  time_zone_invalid: { kind: 'invalid', title: 'The time zone is not an IANA name' },
  key_unsupported: { kind: 'invalid', title: 'The public key is not a P-256 or Ed25519 key' },
  desired_key_invalid: { kind: 'invalid', title: 'The key is not one that desired state can have' },
  desired_value_invalid: { kind: 'invalid', title: 'The value is not one that the key of desired state takes' },
  desired_too_large: { kind: 'invalid', title: 'It is more than desired state can hold' },
} as const satisfies Record<string, { kind: FleetErrorKind; title: string }>;

export type FleetErrorCode = keyof typeof FLEET_ERRORS;

export class FleetError extends Error {
  override readonly name = 'FleetError';
  readonly code: FleetErrorCode;

  constructor(code: FleetErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? FLEET_ERRORS[code].title : `${FLEET_ERRORS[code].title}: ${detail}`, options);
    this.code = code;
  }

  get kind(): FleetErrorKind {
    return FLEET_ERRORS[this.code].kind;
  }
}
