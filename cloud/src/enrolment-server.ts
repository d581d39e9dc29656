import { createHash } from 'node:crypto';
import { tlsServer } from './adapters/tls-server.ts';
import type { Base } from './base.ts';
import { Enrolment } from './enrolment/enrolment.ts';
import { NONCE_LIMITS } from './enrolment/nonces.ts';
import type { Transport } from './enrolment/transport.ts';
import { createEnrolApp } from './http/enrol-app.ts';
import type { ClaimTerms } from './http/routes/factory-keys.ts';
import type { RepositoryFiles } from './ports-firmware.ts';
import { inUrl } from './urls.ts';
import { Addresses } from './trust/addresses.ts';
import { keyListOf, newestKeyList, type StoredKeyList } from './trust/key-lists.ts';
import { RefusedConnections } from './trust/refused-connections.ts';
import { pemChain } from './trust/server-certificate.ts';

export interface EnrolmentServer {
  readonly url: string;
  readonly claimTerms: ClaimTerms;
}

/**
 * Opens the server that devices come to before they have a certificate.
 * @param mqttUrl where devices report to, null: nowhere; asked when one is let in
 * @param transport who says so in place of it, and issues their certificates
 * @param firmwareFiles are served beside
 */
export async function openEnrolment(
  base: Base,
  mqttUrl: () => string | null,
  transport: Transport | null,
  firmwareFiles: Pick<RepositoryFiles, 'open'>,
  started: AsyncDisposableStack,
): Promise<EnrolmentServer> {
  const { store, config, onlineKey, authorities, serverCertificate } = base;
  const newest = async (): Promise<StoredKeyList> => {
    const list = await newestKeyList(store);
    if (list === null) throw new Error('There is no list of keys yet');
    return list;
  };
  const keyList = async (): Promise<string> => (await newest()).sealed;
  const enrolment = new Enrolment({
    ...base,
    signing: onlineKey.signing,
    authority: { issueDevice: (request) => authorities.issuing.issueDevice(request) },
    keyList,
    mqttUrl,
    transport,
    nonceLimits: { ...NONCE_LIMITS, perAddress: config.enrolPerAddress },
  });
  const refusals = new RefusedConnections(base, 'enrolment');
  const server = tlsServer({
    identity: serverCertificate.current,
    addresses: new Addresses(
      { connections: config.enrolAddressConnections, handshakesPerSecond: config.enrolAddressHandshakes },
      base.clock,
    ),
    refused: (code, address) => refusals.refused(code, { clientId: null, deviceId: null, address }),
  });
  serverCertificate.onRenewed((identity) => server.renew(identity));
  const app = await createEnrolApp({
    ...base,
    enrolment,
    firmwareFiles,
    keyList,
    keyListOf: async (version) => (await keyListOf(store, version))?.sealed ?? null,
    authorityPem: () => pemChain([serverCertificate.anchor]),
    serverFactory: server.create,
  });
  started.defer(() => app.close());
  const { port } = new URL(await app.listen({ host: config.enrolHost, port: config.enrolPort }));
  const url = `https://${inUrl(config.publicHosts[0])}:${port || '443'}`;
  return {
    url,
    claimTerms: async () => ({
      url,
      ca: createHash('sha256').update(serverCertificate.anchor).digest('base64url'),
      root: (await newest()).list.root,
    }),
  };
}
