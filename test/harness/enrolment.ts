import { generateKeyPairSync } from 'node:crypto';
import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { tlsServer, type TlsServer, type TlsServerOptions } from '@paddock/cloud/adapters/tls-server.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { ClaimMint } from '@paddock/cloud/enrolment/claim-mint.ts';
import { Enrolment, type EnrolmentParts } from '@paddock/cloud/enrolment/enrolment.ts';
import { addBatch } from '@paddock/cloud/enrolment/factory-keys.ts';
import { createEnrolApp } from '@paddock/cloud/http/enrol-app.ts';
import type { Clock, Store } from '@paddock/cloud/ports.ts';
import type { RepositoryFiles } from '@paddock/cloud/ports-firmware.ts';
import { newAuthorityCertificate, openAuthority, type Authority } from '@paddock/cloud/trust/authority.ts';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { parseEnrolled, type Claim, type Enrolled, type EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import { digestOf, openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { CollectedAudit } from './audit.ts';
import { makeCsr } from './csr.ts';
import { makeTestKey, type TestKey } from './signing.ts';

/** An answer of the server that devices come to. */
export interface EnrolAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** Of a problem document. */
  readonly code: unknown;
}

export interface EnrolServer {
  readonly url: string;
  readonly authority: Authority;
  readonly onlineKey: TestKey;
  readonly root: TestKey;
  /** What was written, unless another audit log was given. */
  readonly audit: CollectedAudit;
  readonly tls: TlsServer;
  /** Connections that were turned away or ended. */
  readonly refused: Parameters<TlsServerOptions['refused']>[];
  call(method: string, path: string, body?: string, type?: string): Promise<EnrolAnswer>;
  nonce(): Promise<string>;
  /** Signs and sends a request with a new nonce unless one is given. @returns the answer as it came */
  ask(key: TestKey, fields?: Partial<EnrolmentRequest>): Promise<EnrolAnswer>;
  /** As `ask`; the answer's signature, nonce and digest are checked. */
  enrol(key: TestKey, fields?: Partial<EnrolmentRequest>): Promise<Enrolled>;
  close(): Promise<void>;
}

/** The server that devices come to, on a real database, a real port and real TLS. */
export async function startEnrolment(
  store: Store,
  parts: Partial<EnrolmentParts> = {},
  clock: Clock = systemClock,
  door: Partial<TlsServerOptions> = {},
  firmwareFiles: Pick<RepositoryFiles, 'open'> = { open: async () => null },
): Promise<EnrolServer> {
  const authority = await newAuthority();
  const [onlineKey, root] = [await makeTestKey(), await makeTestKey()];
  const collected = new CollectedAudit();
  const audit = parts.audit ?? collected;
  const enrolment = new Enrolment({
    store,
    clock,
    audit,
    authority,
    signing: onlineKey.signing,
    keyList: async () => 'a.key.list',
    mqttUrl: () => 'mqtts://localhost:8883',
    ...parts,
  });
  const identity = await serverIdentity(authority);
  const refused: EnrolServer['refused'] = [];
  const tls = tlsServer({
    identity,
    addresses: { enter: () => null, leave: () => undefined },
    refused: (...refusal) => void refused.push(refusal),
    ...door,
  });
  const app = await createEnrolApp({
    audit,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    enrolment,
    firmwareFiles,
    keyList: async () => 'a.key.list',
    keyListOf: async (version) => (version === 1 ? 'a.key.list' : null),
    authorityPem: () => authority.certificatePem,
    serverFactory: tls.create,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const call: EnrolServer['call'] = (method, path, body, type = 'application/jose') =>
    exchange(`${url}${path}`, method, authority.certificatePem, body === undefined ? null : { body, type });
  const nonce = async (): Promise<string> =>
    (JSON.parse((await call('POST', '/enrol/v1/nonces')).text) as { nonce: string }).nonce;
  const sealed = async (key: TestKey, fields: Partial<EnrolmentRequest>): Promise<string> =>
    sealRequest(key, { nonce: fields.nonce ?? (await nonce()), ...fields });
  return {
    url,
    authority,
    onlineKey,
    root,
    audit: collected,
    tls,
    refused,
    call,
    nonce,
    ask: async (key, fields = {}) => call('POST', '/enrol/v1/requests', await sealed(key, fields)),
    async enrol(key, fields = {}) {
      const asked = await sealed(key, fields);
      const answer = await call('POST', '/enrol/v1/requests', asked);
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
      return checkedAnswer(answer.text, asked, onlineKey);
    },
    close: () => app.close(),
  };
}

async function newAuthority(): Promise<Authority> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const now = systemClock.wall();
  return openAuthority({ key, certificate: await newAuthorityCertificate(key, now) });
}

/** A server certificate of that authority for loopback. */
async function serverIdentity(authority: Authority): Promise<{ key: string; cert: string }> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const hosts = ['localhost', '127.0.0.1'];
  const { chain } = await authority.issueServer({ spki, hosts, now: systemClock.wall() });
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: chain.map(pemOf).join('') };
}

/** A certificate in PEM (RFC 7468). */
const pemOf = (certificate: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(certificate).toString('base64')}\n-----END CERTIFICATE-----\n`;

/** A request as a device seals it, with a new TLS key unless one is given. */
const sealRequest = (key: TestKey, fields: Partial<EnrolmentRequest> & { nonce: string }): Promise<string> =>
  seal('enrolment', { v: 1, jwk: key.publicJwk, csr: fields.csr ?? makeCsr().csr, ...fields }, key.signing);

async function checkedAnswer(text: string, asked: string, onlineKey: TestKey): Promise<Enrolled> {
  const envelope = parseEnvelope(text);
  if (envelope.kind !== 'enrolled') throw new Error(`Answered by a ${envelope.kind}`);
  const answer = parseEnrolled(await openEnvelope(envelope, onlineKey.verification, inflater));
  const question = parseEnvelope(asked);
  const { nonce } = JSON.parse(Buffer.from(question.payload, 'base64url').toString()) as { nonce: string };
  if (answer.nonce !== nonce || answer.digest !== (await digestOf(question))) throw new Error('Not my answer');
  return answer;
}

function exchange(
  url: string,
  method: string,
  ca: string,
  sent: { readonly body: string; readonly type: string } | null,
): Promise<EnrolAnswer> {
  return new Promise((resolve, reject) => {
    const headers = sent ? { 'content-type': sent.type, 'content-length': Buffer.byteLength(sent.body) } : {};
    const asking = request(url, { method, ca, headers, agent: false }, (response) => {
      if (!(response.socket as TLSSocket).authorized) reject(new Error('The server is not of this authority'));
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve(answerOf(response.statusCode ?? 0, response.headers['content-type'] ?? '', text)),
      );
    });
    asking.on('error', reject);
    asking.end(sent?.body);
  });
}

function answerOf(status: number, type: string, text: string): EnrolAnswer {
  const problem = type.includes('problem+json') ? (JSON.parse(text) as { code: unknown }) : null;
  return { status, type, text, code: problem?.code };
}

export interface BatchBounds {
  readonly maxDevices?: number;
  readonly modelId?: string | null;
  readonly customerId?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
}

/** A batch of a factory, and what it mints claims with. */
export async function addTestBatch(
  store: Store,
  batchId: string,
  { maxDevices = 1_000, ...bounds }: BatchBounds = {},
  terms: { url?: string; ca?: string; root?: TestKey } = {},
): Promise<{ mint: ClaimMint; key: TestKey }> {
  const key = await makeTestKey();
  const root = terms.root ?? (await makeTestKey());
  const now = systemClock.wall();
  const notAfter = bounds.notAfter ?? toInstant(wallMs(now + 86_400_000));
  const input = { batchId, publicKey: key.publicJwk, maxDevices, ...bounds, notAfter };
  await store.transaction((sql) => addBatch(sql, ALL_CUSTOMERS, 'test', input, now));
  const mint = await ClaimMint.open({
    batch: batchId,
    model: bounds.modelId ?? null,
    url: terms.url ?? 'https://localhost:8443',
    ca: terms.ca ?? key.verification.thumbprint,
    root: root.publicJwk as Claim['root'],
    notAfter,
    privateKey: key.privateJwk,
  });
  return { mint, key };
}

/** A claim that is good for an hour. */
export const mintClaim = (mint: ClaimMint, serialNumber: string, model?: string): Promise<string> =>
  mint.mint(serialNumber, { now: systemClock.wall(), lifeMs: 3_600_000, model });
