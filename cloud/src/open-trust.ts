import { loadAuthority, readAuthority } from './adapters/data-dir/authority.ts';
import type { CloudConfig } from './settings.ts';
import type { Clock, Log } from './ports.ts';
import { newAuthorityCertificate, openAuthority, type Authority } from './trust/authority.ts';
import { ServerCertificate } from './trust/server-certificate.ts';

/**
 * The authority of the data directory or the one that is given, and what our servers show.
 * @throws TrustError, DataDirError
 */
export async function openTrust(
  config: CloudConfig,
  dataDir: string,
  clock: Clock,
  log: Log,
): Promise<{ authority: Authority; serverCertificate: ServerCertificate }> {
  const authority = await authorityOf(config, dataDir, clock);
  const hosts = config.publicHosts;
  return { authority, serverCertificate: await ServerCertificate.make({ authority, hosts, clock, log }) };
}

/** @throws TrustError, DataDirError */
export async function authorityOf(
  { caCert, caKey }: Pick<CloudConfig, 'caCert' | 'caKey'>,
  dataDir: string,
  clock: Clock,
): Promise<Authority> {
  const now = clock.wall();
  const files =
    caCert !== null && caKey !== null
      ? await readAuthority({ certificate: caCert, key: caKey })
      : await loadAuthority(dataDir, (key) => newAuthorityCertificate(key, now));
  return openAuthority(files, now);
}
