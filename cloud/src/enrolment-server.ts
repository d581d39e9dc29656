import { generateKeyPairSync } from 'node:crypto';
import { tlsServer, type ServerIdentity } from './adapters/tls-server.ts';
import type { Base } from './base.ts';
import { Enrolment } from './enrolment/enrolment.ts';
import { NONCE_LIMITS } from './enrolment/nonces.ts';
import { createEnrolApp } from './http/enrol-app.ts';
import type { ClaimTerms } from './http/routes/factory-keys.ts';
import type { Authority } from './trust/authority.ts';
import { keyListOf, newestKeyList, type StoredKeyList } from './trust/key-lists.ts';

/** The names that the server certificate holds; the first one is told to devices. */
const HOSTS = ['localhost', '127.0.0.1'];

export interface EnrolmentServer {
  readonly url: string;
  readonly claimTerms: ClaimTerms;
}

/**
 * Opens the server that devices come to before they have a certificate.
 * @param mqttUrl where devices report to: asked when one is let in
 */
export async function openEnrolment(
  base: Base,
  authority: Authority,
  mqttUrl: () => string,
  started: AsyncDisposableStack,
): Promise<EnrolmentServer> {
  const { store, config, onlineKey } = base;
  const newest = async (): Promise<StoredKeyList> => {
    const list = await newestKeyList(store);
    if (list === null) throw new Error('There is no list of keys yet');
    return list;
  };
  const keyList = async (): Promise<string> => (await newest()).sealed;
  const enrolment = new Enrolment({
    ...base,
    authority,
    signing: onlineKey.signing,
    keyList,
    mqttUrl,
    nonceLimits: { ...NONCE_LIMITS, perAddress: config.enrolPerAddress },
  });
  const server = tlsServer(await identityOf(base, authority));
  const app = await createEnrolApp({
    ...base,
    enrolment,
    keyList,
    keyListOf: async (version) => (await keyListOf(store, version))?.sealed ?? null,
    authorityPem: authority.certificatePem,
    serverFactory: server.create,
  });
  started.defer(() => app.close());
  const { port } = new URL(await app.listen({ host: config.enrolHost, port: config.enrolPort }));
  const url = `https://${HOSTS[0]}:${port || '443'}`;
  return {
    url,
    claimTerms: async () => ({ url, ca: authority.fingerprint, root: (await newest()).list.root }),
  };
}

async function identityOf({ clock }: Base, authority: Authority): Promise<ServerIdentity> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const { chain } = await authority.issueServer({ spki, hosts: HOSTS, now: clock.wall() });
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: chain.map(pem).join('') };
}

const pem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
