import { readFile } from 'node:fs/promises';
import { loadAuthorities, readAuthorities, type AuthorityFiles } from './adapters/data-dir/authority.ts';
import { readServerPair } from './adapters/data-dir/server-pair.ts';
import { awsAuthorities } from './aws-iot.ts';
import type { Background, Base, Ground } from './base.ts';
import { believedBy, keepKeyList } from './own-keys.ts';
import type { Clock } from './ports.ts';
import type { CloudConfig } from './settings.ts';
import { currentEpoch } from './store/epoch.ts';
import { Authorities } from './trust/authorities.ts';
import { newAuthorityCertificate, openAuthority, type Authority } from './trust/authority.ts';
import { certificatesIn } from './trust/given-certificate.ts';
import { ServerCertificate, type GivenCertificate } from './trust/server-certificate.ts';

export interface Trust extends Pick<Base, 'authorities' | 'serverCertificate'> {
  /** Whom devices should believe, as this service sees it now. */
  readonly believed: ReturnType<typeof believedBy>;
  /** Seals the next list of keys when one is due and the fleet root is here; otherwise says that one is. */
  readonly keepKeyList: () => Promise<void>;
  /** Keeps all of it as files, lists and operators want it, as long as the service runs. */
  readonly watch: (background: Background, started: AsyncDisposableStack) => Promise<void>;
}

/**
 * The authorities of the data directory or those that are given, the list of keys that names them, and what our servers
 * show. The database is ready by then.
 * @throws TrustError, DataDirError
 */
export async function openTrust(ground: Ground, dataDir: string): Promise<Trust> {
  const { config, clock, log, metrics, store } = ground;
  const load = (): Promise<Authority[]> => authoritiesOf(config, dataDir, clock);
  const authorities = await Authorities.open({ sql: store, clock, log, metrics, load });
  const given = await givenCertificate(config);
  const foreign = [...awsAuthorities(config), ...(given?.named ?? [])];
  const named = () => ({
    needed: [authorities.issuing.certificateDer, ...foreign],
    beside: authorities.beside.map(({ certificateDer }) => certificateDer),
  });
  const believed = believedBy(ground, named, await currentEpoch(store));
  const keep = (): Promise<void> => keepKeyList(ground, dataDir, believed);
  await keep();
  await authorities.refresh();
  const serverCertificate = await ServerCertificate.make({
    issuer: () => authorities.issuing,
    listed: () => authorities.listed,
    given,
    hosts: config.publicHosts,
    clock,
    log,
  });
  authorities.onChange(() => void serverCertificate.look());
  return {
    authorities,
    serverCertificate,
    believed,
    keepKeyList: keep,
    async watch(background, started) {
      const changed = (): void => void authorities.refresh();
      started.defer(await store.listen('paddock_trust', changed, changed));
      background((signal) => authorities.run(signal, keep));
      background((signal) => serverCertificate.run(signal));
    },
  };
}

/** Oldest first, with those that have ended. @throws TrustError, DataDirError */
export async function authoritiesOf(
  { caCert, caKey }: Pick<CloudConfig, 'caCert' | 'caKey'>,
  dataDir: string,
  clock: Clock,
): Promise<Authority[]> {
  const files: AuthorityFiles[] =
    caCert !== null && caKey !== null
      ? await readAuthorities(caCert.map((certificate, at) => ({ certificate, key: caKey[at] ?? '' })))
      : await loadAuthorities(dataDir, (key) => newAuthorityCertificate(key, clock.wall()));
  return Promise.all(files.map(openAuthority));
}

/** @throws TrustError `server_certificate_unreadable` of its authority, and what reading that throws */
async function givenCertificate({
  serverCert,
  serverKey,
  serverCa,
}: CloudConfig): Promise<GivenCertificate | undefined> {
  if (serverCert === null || serverKey === null) return undefined;
  const named = serverCa === null ? [] : certificatesIn(await readFile(serverCa, 'utf8'));
  return {
    read: () => readServerPair({ cert: serverCert, key: serverKey }),
    named: named.map(({ raw }) => new Uint8Array(raw)),
  };
}
