import { ConfigError, readConfig } from './config.ts';

/** How a program of the command line reaches the service. */
export interface ClientConfig {
  readonly url: string;
  /** Null: read the operator's token from the data directory. */
  readonly token: string | null;
  readonly dataDir: string;
}

/**
 * By default the service of this machine, as its own variables say.
 * @param flags options of the command line, which win
 * @throws ConfigError
 */
export function readClientConfig(
  env: Readonly<Record<string, string | undefined>>,
  flags: { readonly url?: string; readonly token?: string; readonly dataDir?: string } = {},
): ClientConfig {
  const given = flags.url ?? (env['PADDOCK_URL'] || undefined);
  if (given !== undefined && !/^https?:$/.test(URL.canParse(given) ? new URL(given).protocol : ''))
    throw new ConfigError([
      `${flags.url === undefined ? 'PADDOCK_URL' : '--url'} has to be a URL with http:// or https://`,
    ]);
  const { httpPort, dataDir } = readConfig({
    PADDOCK_HTTP_PORT: env['PADDOCK_HTTP_PORT'],
    PADDOCK_DATA_DIR: flags.dataDir ?? env['PADDOCK_DATA_DIR'],
  });
  return {
    url: given ?? `http://127.0.0.1:${httpPort}`,
    token: flags.token ?? (env['PADDOCK_TOKEN'] || null),
    dataDir,
  };
}

/** Where a backup comes from or goes to, and the passphrase for it; secrets come from the environment or a file only. */
export interface BackupConfig {
  readonly dataDir: string;
  readonly databaseUrl: string | null;
  readonly passphrase: string | null;
}

/** @throws ConfigError */
export function readBackupConfig(
  env: Readonly<Record<string, string | undefined>>,
  flags: { readonly dataDir?: string } = {},
): BackupConfig {
  const { dataDir, databaseUrl } = readConfig({
    PADDOCK_DATA_DIR: flags.dataDir ?? env['PADDOCK_DATA_DIR'],
    DATABASE_URL: env['DATABASE_URL'],
  });
  return { dataDir, databaseUrl, passphrase: env['PADDOCK_BACKUP_PASSPHRASE'] || null };
}

/** The passphrase of keys that people hold, where neither a file nor a terminal gives it; null without one. */
export const readKeysPassphrase = (env: Readonly<Record<string, string | undefined>>): string | null =>
  env['PADDOCK_KEYS_PASSPHRASE'] || null;
