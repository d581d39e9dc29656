import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { encodeBase64url, randomBase64url } from '@paddock/shared/base64url.ts';
import {
  parseEnrolmentRequest,
  type Enrolled,
  type EnrolmentRequest,
  type KeyList,
} from '@paddock/shared/enrolment.ts';
import { digestOf, openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { CLIENT_AUTH, makeAuthority, makeCertificate, requestedKey, type TestCertificate } from '../certificates.ts';
import { makeTestKey, type TestKey } from '../signing.ts';

const DAY_MS = 86_400_000;
const LIFE_MS = 30 * DAY_MS;
/** Of the virtual time that tests begin in: an authority lives long, a server's certificate 90 days as a real one's. */
const BEGIN = Date.UTC(2026, 10, 23);
const AUTHORITY_DATES = { notBefore: BEGIN - DAY_MS, notAfter: BEGIN + 20 * 365 * DAY_MS } as const;
const SERVER_DATES = { notBefore: BEGIN - DAY_MS, notAfter: BEGIN + 89 * DAY_MS } as const;

interface Refused {
  readonly status: number;
  readonly code: string;
}

/** As much of the cloud's enrolment as a device can tell, on real HTTPS with certificates of an authority of its own. */
export class FakeEnrolment {
  authority: TestCertificate;
  readonly root: TestKey;
  readonly online: TestKey;
  readonly lists: string[] = [];
  /** Requests that it decided on, and all that came. */
  readonly requests: EnrolmentRequest[] = [];
  readonly asked: EnrolmentRequest[] = [];
  /** What it says to each request; a test may say otherwise. */
  decide: (request: EnrolmentRequest) => Partial<Enrolled> = () => ({ status: 'accepted' });
  /** Seals answers with another key, or says no. */
  answerKey: TestKey;
  refuses: (request: EnrolmentRequest) => Refused | null = () => null;
  now: () => WallMs = () => wallMs(Date.now());
  device = 'kiosk-abcd2345';
  mqttUrl = 'mqtts://127.0.0.1:8883';
  /** Answers for what lies under `/firmware/`. */
  firmware: RequestListener | null = null;
  /** What it shows of itself. */
  readonly own: TestCertificate;
  readonly #nonces = new Set<string>();
  readonly #server: Server;

  private constructor(authority: TestCertificate, own: TestCertificate, root: TestKey, online: TestKey) {
    this.authority = authority;
    this.root = root;
    this.online = this.answerKey = online;
    this.own = own;
    const cert = own.pem + authority.pem;
    this.#server = createServer({ key: own.keyPem, cert }, (request, response) => {
      if (this.firmware && request.url?.startsWith('/firmware/')) return this.firmware(request, response);
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        void this.#answer(request.method ?? '', request.url ?? '', Buffer.concat(chunks).toString()).then(
          ([status, type, text]) => response.writeHead(status, { 'content-type': type }).end(text),
          (cause: unknown) => response.writeHead(500).end(String(cause)),
        );
      });
    });
  }

  static async start(): Promise<FakeEnrolment> {
    const authority = await makeAuthority(AUTHORITY_DATES);
    const own = await makeCertificate({ issuer: authority, ...SERVER_DATES });
    const cloud = new FakeEnrolment(authority, own, await makeTestKey(), await makeTestKey());
    await cloud.publish();
    cloud.#server.listen(0, '127.0.0.1');
    await once(cloud.#server, 'listening');
    return cloud;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Goes over to another authority, for servers and devices. */
  async changeAuthority(): Promise<TestCertificate> {
    this.authority = await makeAuthority({ name: 'Next CA', ...AUTHORITY_DATES });
    this.show(await makeCertificate({ issuer: this.authority, ...SERVER_DATES }));
    return this.authority;
  }

  /** Goes on under another certificate. */
  show({ keyPem, pem }: TestCertificate): void {
    this.#server.setSecureContext({ key: keyPem, cert: pem + this.authority.pem });
    this.cut();
  }

  /** Ends every connection. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  /** Seals the next list. */
  async publish(change: Partial<Record<keyof KeyList, unknown>> = {}, by: TestKey = this.root): Promise<string> {
    const list = {
      v: 1,
      version: this.lists.length + 1,
      issuedAt: toInstant(this.now()),
      root: this.root.publicJwk,
      keys: [this.online.publicJwk],
      authorities: [encodeBase64url(this.authority.der)],
      epoch: 0,
      ...change,
    };
    const sealed = await seal('keys', list, by.signing);
    this.lists.push(sealed);
    return sealed;
  }

  /** A claim; nobody here looks at its signature. */
  claim(change: object = {}): string {
    const payload = {
      v: 1,
      iss: 'batch-1',
      sub: 'SN 0001',
      jti: randomBase64url(),
      nbf: 0,
      exp: 4_102_444_800,
      model: 'cp-22',
      url: this.url,
      ca: this.authority.fingerprint,
      root: this.root.publicJwk,
      ...change,
    };
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'ES256', kid: 'batch-------', typ: 'paddock-claim' })}.${part(payload)}.c2ln`;
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(method: string, path: string, body: string): Promise<[status: number, type: string, text: string]> {
    if (method === 'POST' && path === '/enrol/v1/nonces') {
      const nonce = randomBase64url();
      this.#nonces.add(nonce);
      return [200, 'application/json', JSON.stringify({ nonce, sentAt: toInstant(this.now()) })];
    }
    if (method === 'POST' && path === '/enrol/v1/requests') return this.#enrol(body);
    if (path === '/enrol/v1/ca') return [200, 'application/x-pem-file', this.authority.pem];
    const [, version] = /^\/enrol\/v1\/keys(?:\/(\d+))?$/.exec(path) ?? [];
    const list = version === undefined ? this.lists.at(-1) : this.lists[Number(version) - 1];
    return list === undefined ? [404, 'application/json', '{"code":"not_found"}'] : [200, 'application/jose', list];
  }

  async #enrol(jws: string): Promise<[status: number, type: string, text: string]> {
    const envelope = parseEnvelope(jws);
    const claimed = JSON.parse(Buffer.from(envelope.payload, 'base64url').toString()) as EnrolmentRequest;
    const request = parseEnrolmentRequest(
      await openEnvelope(envelope, await importVerificationKey(claimed.jwk), inflater),
    );
    if (!this.#nonces.delete(request.nonce)) throw new Error('The nonce is not one of ours');
    this.asked.push(request);
    const refused = this.refuses(request);
    if (refused) return [refused.status, 'application/problem+json', JSON.stringify(refused)];
    this.requests.push(request);
    const at = this.now();
    const decided = { status: 'accepted' as const, ...this.decide(request) };
    const enrolled: Enrolled = {
      v: 1,
      nonce: request.nonce,
      digest: await digestOf(envelope),
      receivedAt: toInstant(at),
      sentAt: toInstant(at),
      expiresAt: toInstant(wallMs(at + 300_000)),
      ...(decided.status === 'accepted' && { ...(await this.#admitted(request, at)), mqttUrl: this.mqttUrl }),
      ...decided,
    };
    return [200, 'application/jose', await seal('enrolled', enrolled, this.answerKey.signing)];
  }

  async #admitted({ csr }: EnrolmentRequest, at: number): Promise<Pick<Enrolled, 'device' | 'certificate'>> {
    const { der } = await makeCertificate({
      issuer: this.authority,
      name: this.device,
      use: [CLIENT_AUTH],
      publicKey: await requestedKey(Buffer.from(csr, 'base64url')),
      notBefore: at - 300_000,
      notAfter: at + LIFE_MS,
    });
    const chain = [encodeBase64url(der), encodeBase64url(this.authority.der)];
    const [notBefore, notAfter] = [toInstant(wallMs(at - 300_000)), toInstant(wallMs(at + LIFE_MS))];
    return {
      device: this.device,
      certificate: { chain, notBefore, notAfter, renewAfter: toInstant(wallMs(at + LIFE_MS / 3)) },
    };
  }
}
