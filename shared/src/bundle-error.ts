/** What can be wrong with a bundle, whoever looks at it: who builds it, who publishes it, and the device. */
export const BUNDLE_ERRORS = {
  bundle_malformed: 'The archive is not a bundle',
  bundle_truncated: 'The archive ends too early',
  bundle_padded: 'Something follows the end of the archive',
  manifest_invalid: 'The manifest does not fit its schema',
  manifest_version_unsupported: 'The manifest has a version that this program does not take',
  manifest_command: 'A command names a path that is no program of the payload',
  manifest_payload: 'The payload is not what the installer takes that the manifest names',
  index_invalid: 'The index is not one, or not in its canonical form',
  index_too_large: 'The index names more than a bundle may hold',
  path_invalid: 'A path is not one that every slot can hold',
  path_duplicate: 'A path is there twice',
  path_case: 'Two paths differ in case only',
  path_under_file: 'A path lies under one that is no directory',
  link_outside: 'A link leads out of the slot',
  kind_refused: 'Only files, directories and links are taken',
  mode_refused: 'A file has a mode that no slot takes (setuid, setgid, sticky)',
  hash_mismatch: 'The content is not what its hash says',
  size_mismatch: 'The content is not as long as was said',
} as const satisfies Record<string, string>;

export type BundleErrorCode = keyof typeof BUNDLE_ERRORS;

/** A bundle that is refused, with its stable code; nothing of it is used. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly code: BundleErrorCode;

  constructor(code: BundleErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? BUNDLE_ERRORS[code] : `${BUNDLE_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}
