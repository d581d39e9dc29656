/** Why a device does not run what it is desired to run, beside what TUF, bundles, fetching and installing say. */
export const UPDATE_ERRORS = {
  update_invalid: 'What is desired is not a release',
  update_zone_unknown: 'This machine does not know the time zone of the window',
  update_repository_unknown: 'Neither desired state nor an enrolment says where the repository is',
  update_mismatch: 'What is desired and what was signed differ in the version',
  update_model_unknown: 'Nobody told this device which model it is',
  update_model_wrong: 'The release is not for this model',
  update_installer_wrong: 'The release is for another installer than this device has',
  update_from_wrong: 'The release does not install over what runs here',
  update_counter_old: 'A release with this counter, or a larger one, was committed before',
  update_quarantined: 'The release failed on this device before',
  update_no_space: 'There is too little room for the release',
  update_base_damaged: 'A file of the slot that runs is not what it was when it was installed',
  update_disk_failed: 'The disk failed',
  update_slot_lost: 'The disk lost what was committed: something else runs in its place, or nothing',
  update_hook_failed: 'A hook of the release failed',
  update_process_down: 'The program of the release does not run, or ended during its trial',
  update_sensors_bad: 'Fewer sensors are good than before the switch',
  update_application_bad: 'The software of the kiosk says that it is not well, or says nothing, under the release',
  update_probe_failed: 'The probe of the release failed',
  update_given_up: 'The launcher ended the trial: too many starts, or too long without a verdict',
  update_trial_lost: 'The trial ended, and nobody had ended it',
  update_trial_unknown: 'A trial ran that this agent did not begin',
  update_cloud_unreached: 'The cloud was not reached under this release, and was under the one before',
  update_failed: 'Something happened that nobody foresaw',
} as const satisfies Record<string, string>;
export type UpdateErrorCode = keyof typeof UPDATE_ERRORS;

export class UpdateError extends Error {
  override readonly name = 'UpdateError';
  readonly code: UpdateErrorCode;

  constructor(code: UpdateErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? UPDATE_ERRORS[code] : `${UPDATE_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}
