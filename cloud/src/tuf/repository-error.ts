/** What went wrong, in kinds that callers handle alike. */
export type RepositoryErrorKind = 'missing' | 'invalid' | 'refused';

/** Why the operator's repository of firmware does not take something. Callers switch on codes. */
export const REPOSITORY_ERRORS = {
  metadata_malformed: { kind: 'invalid', title: 'Metadata are not what this service writes and reads' },
  metadata_unsigned: { kind: 'refused', title: 'Too few of the keys that the role has signed' },
  metadata_expired: { kind: 'refused', title: 'Metadata have expired, or expire too soon to be published' },
  metadata_out_of_step: { kind: 'refused', title: 'Metadata do not follow those that are published' },
  firmware_root_missing: { kind: 'missing', title: 'No root of firmware is installed' },
  firmware_root_exists: { kind: 'refused', title: 'There is a root already' },
  firmware_root_invalid: { kind: 'invalid', title: 'The root names keys or thresholds that cannot be' },
  online_key_foreign: { kind: 'refused', title: 'The root names other online keys than this service holds' },
  release_unknown: { kind: 'missing', title: 'No such release' },
  release_exists: { kind: 'refused', title: 'A release is never changed: this name and counter were published before' },
  release_counter: { kind: 'refused', title: 'The counter has to be greater than every one of this name' },
  release_left_out: { kind: 'refused', title: 'Published releases are not in these targets any more' },
  release_kept: { kind: 'refused', title: 'A release that is to be withdrawn is still in these targets' },
  bundle_missing: { kind: 'refused', title: 'The bundle of a release was not uploaded' },
  bundle_differs: { kind: 'refused', title: 'Metadata say something else of a release than its bundle' },
  uploads_too_many: { kind: 'refused', title: 'Another bundle is being uploaded' },
  key_unlisted: { kind: 'refused', title: 'The role does not have this key' },
} as const satisfies Record<string, { kind: RepositoryErrorKind; title: string }>;

export type RepositoryErrorCode = keyof typeof REPOSITORY_ERRORS;

export class RepositoryError extends Error {
  override readonly name = 'RepositoryError';
  readonly code: RepositoryErrorCode;

  constructor(code: RepositoryErrorCode, detail?: string, options?: ErrorOptions) {
    super(
      detail === undefined ? REPOSITORY_ERRORS[code].title : `${REPOSITORY_ERRORS[code].title}: ${detail}`,
      options,
    );
    this.code = code;
  }

  get kind(): RepositoryErrorKind {
    return REPOSITORY_ERRORS[this.code].kind;
  }
}
