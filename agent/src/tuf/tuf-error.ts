/** Why metadata of The Update Framework, or a target of theirs, are not believed. Callers switch on codes. */
export const TUF_ERRORS = {
  tuf_root_missing: 'There is no root metadata to begin with',
  tuf_root_hash: 'The first root is not the one that was named',
  tuf_root_pinned: 'Another first root was pinned before, and it stays',
  tuf_root_signature: 'Too few keys signed a root: it takes a threshold of the root before it, and of its own',
  tuf_signature: 'Too few of the keys that a role has signed its metadata',
  tuf_malformed: 'Metadata are not what the specification says they are',
  tuf_missing: 'The repository lacks a file that its metadata name',
  tuf_length: 'A file is not as long as metadata say, or longer than it may be',
  tuf_hash_mismatch: 'A file has not the hash that metadata say',
  tuf_version_mismatch: 'Metadata have another version than the metadata that name them say',
  tuf_version_rollback: 'Metadata are older than what was trusted before',
  tuf_snapshot_shrunk: 'A snapshot no longer lists what an earlier one did',
  tuf_expired: 'Metadata have expired by trusted time',
  tuf_incomplete: 'Metadata are not complete: a refresh has to come first',
  tuf_time_unknown: 'Trusted time is not known yet, so nobody can say whether metadata have expired',
  tuf_target_unknown: 'Nobody who may do so has signed this target',
  tuf_mismatch: 'What is desired and what was signed are not the same release',
} as const satisfies Record<string, string>;
export type TufErrorCode = keyof typeof TUF_ERRORS;

export class TufError extends Error {
  override readonly name = 'TufError';
  readonly code: TufErrorCode;

  constructor(code: TufErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? TUF_ERRORS[code] : `${TUF_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}
