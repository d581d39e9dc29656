import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { pinOf, type Pin } from '@paddock/agent/enrol/pin.ts';
import type { Web, WebAnswer } from '@paddock/agent/ports.ts';
import { encodeBase64url, randomBase64url } from '@paddock/shared/base64url.ts';
import { parseEndorsement, parseEnrolmentRequest, type EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import { digestOf, openEnvelope, parseEnvelope, seal, verifyEnvelope } from '@paddock/shared/envelope.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { CLIENT_AUTH, makeAuthority, makeCertificate, requestedKey, type TestCertificate } from '../certificates.ts';
import { makeTestKey, type TestKey } from '../signing.ts';

const NOW = Date.UTC(2026, 10, 23);
const DAY_MS = 86_400_000;

/** What a cloud knows of the keys of one device. */
interface Known {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly good: string;
  readonly revoked: readonly string[];
  readonly rotations: number;
}

const NOBODY: Known = { keys: new Map(), good: '', revoked: [], rotations: 0 };

/** As much of a cloud as a change of keys needs, by function call, so that a test can have a thousand of them. */
export class RotationCloud {
  readonly device = 'kiosk-abcd2345';
  readonly pin: Pin;
  isAway = false;
  loses: 'request' | 'answer' | null = null;
  readonly #online: TestKey;
  readonly #authority: TestCertificate;
  readonly #list: string;
  readonly #history: { readonly after: number; readonly known: Known }[] = [];
  #known = NOBODY;
  #approved: string | null = null;
  #changes: () => number = () => 0;

  private constructor(parts: { pin: Pin; online: TestKey; authority: TestCertificate; list: string }) {
    this.pin = parts.pin;
    this.#online = parts.online;
    this.#authority = parts.authority;
    this.#list = parts.list;
  }

  static async open(): Promise<RotationCloud> {
    const [root, online, authority] = [await makeTestKey(), await makeTestKey(), await makeAuthority()];
    const settings = { url: 'https://cloud.example', ca: authority.fingerprint, serialNumber: 'SN 0001' };
    const pin = await pinOf(settings, JSON.stringify(root.publicJwk));
    const content = {
      v: 1,
      version: 1,
      issuedAt: toInstant(wallMs(NOW)),
      root: root.publicJwk,
      keys: [online.publicJwk],
      authorities: [encodeBase64url(authority.der)],
      epoch: 0,
    };
    const list = await seal('keys', content, root.signing);
    return new RotationCloud({ pin, online, authority, list });
  }

  now = (): WallMs => wallMs(NOW);
  get good(): string {
    return this.#known.good;
  }
  get revoked(): readonly string[] {
    return this.#known.revoked;
  }
  get rotations(): number {
    return this.#known.rotations;
  }

  revoke(thumbprint: string): void {
    this.#know({ good: '', revoked: [...this.revoked, thumbprint] });
  }

  approve(thumbprint: string): void {
    this.#approved = thumbprint;
  }

  /** Remembers what it knows by what a device's disk had been through. */
  watch(changes: () => number): void {
    this.#changes = changes;
    this.#history.length = 0;
    this.#know({});
  }

  /** The cloud as it was when the disk of the device had been through that many changes. */
  asOf(after: number): RotationCloud {
    const past = new RotationCloud({
      pin: this.pin,
      online: this.#online,
      authority: this.#authority,
      list: this.#list,
    });
    past.#known = this.#history.findLast((one) => one.after <= after)?.known ?? NOBODY;
    return past;
  }

  readonly web: Web = {
    call: async (_method, path, body) => {
      if (this.isAway) throw Object.assign(new Error('away'), { code: 'web_failed' });
      if (path.endsWith('/nonces')) return json(200, { nonce: randomBase64url() });
      return path.endsWith('/requests') ? this.#request(body?.text ?? '') : { ...json(200, {}), body: this.#list };
    },
    close() {},
  };

  async #request(jws: string): Promise<WebAnswer> {
    const lost = this.loses;
    this.loses = null;
    const failure = Object.assign(new Error('lost'), { code: 'web_timeout' });
    if (lost === 'request') throw failure;
    const envelope = parseEnvelope(jws);
    const said = JSON.parse(Buffer.from(envelope.payload, 'base64url').toString()) as EnrolmentRequest;
    const key = await importVerificationKey(said.jwk);
    const request = parseEnrolmentRequest(await openEnvelope(envelope, key, inflater));
    const refusal = await this.#decide(key, request);
    if (lost === 'answer') throw failure;
    if (refusal !== null && refusal !== 'pending') return json(403, { code: refusal });
    const at = toInstant(this.now());
    const status = refusal ?? 'accepted';
    const bound = { v: 1, nonce: request.nonce, digest: await digestOf(envelope), receivedAt: at, sentAt: at };
    const enrolled = { ...bound, status, expiresAt: toInstant(wallMs(NOW + 300_000)) };
    const admitted = status === 'accepted' ? { device: this.device, certificate: await this.#issue(request.csr) } : {};
    return { ...json(200, {}), body: await seal('enrolled', { ...enrolled, ...admitted }, this.#online.signing) };
  }

  /** As the cloud does: a key that it knows, an endorsement, a human. @returns null when it is let in */
  async #decide(key: VerificationKey, { endorsement, nonce }: EnrolmentRequest): Promise<string | null> {
    const { keys, good, revoked, rotations } = this.#known;
    const { thumbprint } = key;
    if (revoked.includes(thumbprint)) return 'key_revoked';
    if (thumbprint === good) return null;
    const added = new Map([...keys, [thumbprint, key]]);
    if (good === '' && (keys.size === 0 || this.#approved === thumbprint)) {
      this.#know({ keys: added, good: thumbprint });
      return null;
    }
    if (endorsement === undefined) return 'pending';
    const envelope = parseEnvelope(endorsement);
    const endorser = [...keys.values()].find(({ keyId }) => keyId === envelope.keyId);
    if (endorser === undefined) return 'endorsement_invalid';
    await verifyEnvelope(envelope, endorser);
    const said = parseEndorsement(JSON.parse(Buffer.from(envelope.payload, 'base64url').toString()));
    const fits = said.device === this.device && said.thumbprint === thumbprint && said.nonce === nonce;
    if (!fits) return 'endorsement_invalid';
    if (endorser.thumbprint !== good) return 'key_revoked';
    this.#know({ keys: added, good: thumbprint, revoked: [...revoked, good], rotations: rotations + 1 });
    return null;
  }

  #know(change: Partial<Known>): void {
    this.#known = { ...this.#known, ...change };
    this.#history.push({ after: this.#changes(), known: this.#known });
  }

  async #issue(csr: string): Promise<object> {
    const publicKey = await requestedKey(Buffer.from(csr, 'base64url'));
    const wish = { issuer: this.#authority, name: this.device, use: [CLIENT_AUTH], publicKey };
    const der = encodeBase64url((await makeCertificate(wish)).der);
    const [notBefore, notAfter] = [toInstant(wallMs(NOW - DAY_MS)), toInstant(wallMs(NOW + 30 * DAY_MS))];
    return { chain: [der], notBefore, notAfter, renewAfter: toInstant(wallMs(NOW + 10 * DAY_MS)) };
  }
}

const json = (status: number, value: object): WebAnswer => ({
  status,
  body: JSON.stringify(value),
  retryAfterSeconds: null,
});
