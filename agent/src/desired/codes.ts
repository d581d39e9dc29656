/** Why desired state is not taken up. It changes nothing; each is logged with its code and a count. */
export const DESIRED_REFUSALS = {
  desired_incarnation: 'It is for another life of this device',
  desired_epoch_old: 'It is of an epoch that is over: the cloud was restored since',
  desired_version_old: 'It is older than what this device took up, or than what the cloud says is current',
  desired_expired: 'It was to be taken up earlier',
  desired_flood: 'Too many messages at once: some were not read',
} as const satisfies Record<string, string>;
export type DesiredRefusal = keyof typeof DESIRED_REFUSALS;

/** What desired state waits for that is good so far. */
export const DESIRED_WAITS = {
  desired_waits_for_keys: 'It is of an epoch, or by a key, that the list of keys does not name yet',
  desired_waits_for_time: 'Without trusted time nobody knows whether it has expired',
  desired_waits_for_answer: 'This device took up nothing so far, or lost it: an answer has to say what is current',
} as const satisfies Record<string, string>;
export type DesiredWait = keyof typeof DESIRED_WAITS;

/** What else the log says of it. */
export const DESIRED_NOTES = {
  desired_applied: 'A version is taken up, and every key that could be is applied',
  desired_damaged: 'The file of what was taken up is damaged: the own settings hold until the cloud sends it again',
  desired_unkept: 'It cannot be written to the disk, and is not applied: trying again',
  desired_withheld: 'Answers name a newer version than has come: somebody keeps it back, or it waits or is refused',
} as const satisfies Record<string, string>;

/** Why a key was not applied: in reports, by key. A key that is not applied leaves the device its own settings. */
export const DESIRED_KEY_ERRORS = {
  desired_key_unknown: 'This agent does not know the key',
  desired_value_invalid: 'The value is not one that the key takes',
  desired_apply_failed: 'It could not be applied',
  schedule_invalid: 'The schedule is no cron expression, or never comes',
  outputs_failed: 'Outputs are not as they shall be: the report says which, and why',
  outputs_pending: 'Outputs are not yet, or for now not, as they shall be',
  firmware_not_configured: 'This agent installs nothing',
} as const satisfies Record<string, string>;
