/** Why the private database does not run, by stable code. */
export const EMBEDDED_POSTGRES_ERRORS = {
  data_dir_in_use: 'Another instance of the service works on this data directory',
  database_user_missing: 'PostgreSQL refuses to run as root, and no other user could be found or made for it',
  database_unreachable_dir: 'The user that PostgreSQL runs as cannot reach a directory that it needs',
  database_binaries_missing: 'The package embedded-postgres brings no programs for this platform',
  database_init_failed: 'The private database could not be made',
  database_start_failed: 'The private database does not start',
  database_orphan: 'A PostgreSQL left behind by a killed service could not be stopped',
} as const satisfies Record<string, string>;

export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
  readonly code: keyof typeof EMBEDDED_POSTGRES_ERRORS;
  constructor(code: EmbeddedPostgresError['code'], detail: string, options?: ErrorOptions) {
    super(`${EMBEDDED_POSTGRES_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}
