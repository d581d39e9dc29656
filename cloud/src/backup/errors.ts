export const BACKUP_ERRORS = {
  backup_malformed: 'The file is not a backup of this service, or not one that it can read',
  backup_damaged: 'The backup is damaged or cut off, or this is not the key or passphrase that it was made with',
  backup_newer: 'The backup was made by a newer version of this service',
  passphrase_missing: 'A backup needs a passphrase or a recipient',
  passphrase_short: 'The passphrase has to have at least 12 characters',
  recipient_invalid: 'The key is not an X25519 key in PEM',
  database_not_empty: 'The database is not empty',
  data_dir_not_empty: 'The data directory is not empty',
  instances_running: 'Instances of the service run on this database: stop them (one that was killed counts for 30 s)',
  file_exists: 'The file is there already',
  backup_nothing: 'There is no service to back up: neither a private database nor DATABASE_URL',
} as const satisfies Record<string, string>;

export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: keyof typeof BACKUP_ERRORS;
  constructor(code: BackupError['code'], detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? BACKUP_ERRORS[code] : `${BACKUP_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}
