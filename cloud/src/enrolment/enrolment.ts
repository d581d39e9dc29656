import type { Signing } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { KeyError } from '@paddock/shared/keys.ts';
import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import { FleetError } from '../customers/errors.ts';
import { addBeforeAnswer } from '../audit/written.ts';
import type { Audit, AuditEntry, Clock, Store } from '../ports.ts';
import type { Authority, Issued } from '../trust/authority.ts';
import { TrustError } from '../trust/errors.ts';
import { certificateOf, sealAnswer, type Outcome } from './answer.ts';
import { faultOfClaim, readClaim, verifyClaim } from './claim.ts';
import { decide, provedDevice, type GoodClaim, type Verdict } from './decide.ts';
import { endorserOf } from './endorsement.ts';
import { EnrolmentError } from './errors.ts';
import { readKnown, readKnownClaim } from './known.ts';
import { actorOf, letIn, transportRequest } from './let-in.ts';
import { isRace } from './newcomer.ts';
import { giveNonce, NONCE_LIMITS, takeNonce, type NonceLimits } from './nonces.ts';
import { readRequest, type ProvedRequest } from './request.ts';
import type { Transport } from './transport.ts';
import { keepRejected, keepWaiting, WAITING_LIMITS, type WaitingLimits } from './waiting.ts';

export interface EnrolmentParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly authority: Pick<Authority, 'issueDevice'>;
  /** Issues certificates in place of the authority, and says where devices report to. */
  readonly transport?: Transport | null;
  /** The online key. */
  readonly signing: Signing;
  /** The newest list of keys, sealed by the fleet root. */
  readonly keyList: () => Promise<string>;
  /** Where devices report to, with TLS; null: there is no such address, and nobody is let in. */
  readonly mqttUrl: () => string | null;
  readonly nonceLimits?: NonceLimits;
  readonly waitingLimits?: WaitingLimits;
}

/** Seconds after which a device asks again: a human may decide any minute, and hardly ever changes a no. */
const ASK_AGAIN = { pending: 30, rejected: 3_600 } as const;

/** Lets devices in: by their key, by a claim, by the factory's list, or by a human. */
export class Enrolment {
  readonly #parts: EnrolmentParts;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  /** @throws EnrolmentError `nonces_too_many` */
  async nonce(address: string): Promise<{ nonce: string; sentAt: string }> {
    const { store, clock, nonceLimits = NONCE_LIMITS } = this.#parts;
    const now = clock.wall();
    return { nonce: await giveNonce(store, address, now, nonceLimits), sentAt: toInstant(now) };
  }

  /**
   * @param body an envelope of kind `enrolment`
   * @returns an envelope of kind `enrolled`
   * @throws Refusal, KeyError, EnrolmentError, TrustError; none of them changed anything but the nonce
   */
  async request(body: string, address: string): Promise<string> {
    const { store, clock, signing, audit } = this.#parts;
    const receivedAt = clock.wall();
    const asker: Asker = { address, proved: null, deviceId: null };
    try {
      const proved = (asker.proved = await readRequest(body));
      await takeNonce(store, proved.request.nonce, receivedAt);
      const outcome = await this.#outcomeOf(proved, asker, receivedAt);
      return await sealAnswer(proved, outcome, { receivedAt, sentAt: clock.wall(), signing });
    } catch (error) {
      void audit.add(failureOf(error, asker));
      throw error;
    }
  }

  async #outcomeOf(proved: ProvedRequest, asker: Asker, now: WallMs): Promise<Outcome> {
    const decided = async (): Promise<Outcome> => {
      const verdict = await this.#decide(proved, now);
      asker.deviceId = provedDevice(verdict);
      return this.#act(proved, verdict, asker, now);
    };
    return decided().catch((error: unknown) => {
      if (!isRace(error)) throw error;
      return decided();
    });
  }

  async #decide({ request, key }: ProvedRequest, now: WallMs): Promise<Verdict> {
    const { store } = this.#parts;
    const token = request.claim === undefined ? null : readClaim(request.claim);
    const serialNumber = request.serialNumber ?? token?.claim.sub ?? null;
    const known = await readKnown(store, key.thumbprint, serialNumber);
    if (known.owner !== null || known.isRejected) return decide({ request, known, endorser: null, claim: null });
    const { endorsement, nonce } = request;
    const endorser =
      endorsement === undefined ? null : await endorserOf(store, endorsement, { thumbprint: key.thumbprint, nonce });
    const claim = token === null || endorser !== null ? null : await this.#goodClaim(token, request, now);
    return decide({ request, known, endorser, claim });
  }

  async #goodClaim(
    token: ReturnType<typeof readClaim>,
    request: ProvedRequest['request'],
    now: WallMs,
  ): Promise<GoodClaim> {
    const { claim } = token;
    const known = await readKnownClaim(this.#parts.store, claim);
    if (known === null) throw new EnrolmentError('batch_unknown', claim.iss);
    await verifyClaim(token, known.batch);
    const fault = faultOfClaim({ claim, ...known, request, now });
    if (fault !== null) throw new EnrolmentError(fault);
    const { customerId, modelId } = known.batch;
    return {
      batchId: claim.iss,
      jti: claim.jti,
      customerId,
      serialNumber: claim.sub,
      modelId: claim.model ?? modelId,
    };
  }

  async #act(proved: ProvedRequest, verdict: Verdict, asker: Asker, now: WallMs): Promise<Outcome> {
    switch (verdict.kind) {
      case 'refuse':
        throw new EnrolmentError(verdict.code);
      case 'retired':
        void this.#parts.audit.add(entryOf(asker, 'refused', 'device_retired'));
        return { status: 'retired', device: verdict.deviceId };
      case 'rejected':
        await keepRejected(this.#parts.store, proved.key.thumbprint, now);
        void this.#parts.audit.add(entryOf(asker, 'refused', 'enrolment_rejected'));
        return { status: 'rejected', retryAfterSeconds: ASK_AGAIN.rejected };
      case 'wait':
        return this.#wait(proved, verdict, asker.address, now);
      default:
        return this.#accept(proved, verdict, asker.address, now);
    }
  }

  async #accept(
    proved: ProvedRequest,
    verdict: Extract<Verdict, { kind: 'renew' | 'rotate' | 'register' }>,
    address: string,
    now: WallMs,
  ): Promise<Outcome> {
    const { keyList, transport = null } = this.#parts;
    // Before anything changes: it could not report, and would have spent its claim.
    if (transport === null) this.#reportUrl();
    const { deviceId, ...own } = await letIn(this.#parts, proved, verdict, now);
    const fingerprint = proved.key.thumbprint;
    const done = { actor: actorOf(verdict), action: ACTIONS[verdict.kind], deviceId, address };
    // What is done by now stands, whatever becomes of a certificate that somebody else issues.
    const isTwofold = own.issued === null && verdict.kind !== 'renew';
    if (isTwofold) await this.#done({ ...done, detail: { fingerprint } });
    const { issued, mqttUrl } = await this.#connection(proved, deviceId, own.issued);
    const certified = isTwofold ? { ...done, actor: `device:${deviceId}`, action: 'issueCertificate' } : done;
    await this.#done({ ...certified, detail: { fingerprint, certificate: issued.serial } });
    return {
      status: 'accepted',
      device: deviceId,
      certificate: certificateOf(issued),
      mqttUrl,
      keyList: await keyList(),
    };
  }

  /** A device that is let in and does not get this far asks again, by its key. */
  async #connection(
    proved: ProvedRequest,
    deviceId: string,
    own: Issued | null,
  ): Promise<{ issued: Issued; mqttUrl: string }> {
    const { transport = null } = this.#parts;
    if (own !== null) return { issued: own, mqttUrl: this.#reportUrl() };
    if (transport === null) throw new Error('Nobody issued a certificate');
    const issued = await transport.certificateFor(transportRequest(proved, deviceId));
    return { issued, mqttUrl: issued.mqttUrl };
  }

  /** @throws EnrolmentError `report_url_missing` */
  #reportUrl(): string {
    const url = this.#parts.mqttUrl();
    if (url === null) throw new EnrolmentError('report_url_missing');
    return url;
  }

  async #wait(
    { request, key }: ProvedRequest,
    { reason, deviceId }: Extract<Verdict, { kind: 'wait' }>,
    address: string,
    now: WallMs,
  ): Promise<Outcome> {
    const { store, waitingLimits = WAITING_LIMITS } = this.#parts;
    const isNew = await keepWaiting(store, { key, request, address, reason, deviceId }, now, waitingLimits);
    if (isNew)
      await this.#done({
        actor: 'unknown',
        action: 'askToEnrol',
        ...(deviceId !== null && { deviceId }),
        address,
        detail: { fingerprint: key.thumbprint, reason, serialNumber: request.serialNumber ?? null },
      });
    return { status: 'pending', retryAfterSeconds: ASK_AGAIN.pending };
  }

  #done(entry: Omit<AuditEntry, 'result'>): Promise<void> {
    return addBeforeAnswer(this.#parts.audit, this.#parts.clock, { ...entry, result: 'done' });
  }
}

/** As the audit log calls it. */
const ACTIONS = { renew: 'renewCertificate', rotate: 'rotateKey', register: 'enrol' } as const;

/** Who asks, as far as that is known by then. */
interface Asker {
  readonly address: string;
  /** Null until the request's signature has been verified. */
  proved: ProvedRequest | null;
  /** Whose key it is: proved, and not only told. */
  deviceId: string | null;
}

/** What a request says of itself is nobody's word but that of who holds the key: the device only where the key is its own. */
function entryOf({ proved, address, deviceId }: Asker, result: AuditEntry['result'], code?: string): AuditEntry {
  const { device, serialNumber = null } = proved?.request ?? {};
  const isOther = deviceId !== null && device !== undefined && device !== deviceId;
  return {
    actor: deviceId === null ? 'unknown' : `device:${deviceId}`,
    action: 'enrol',
    result,
    code,
    deviceId: deviceId ?? device,
    address,
    ...(proved && {
      detail: { fingerprint: proved.key.thumbprint, serialNumber, ...(isOther && { namedDevice: device }) },
    }),
  };
}

function failureOf(error: unknown, asker: Asker): AuditEntry {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return entryOf(asker, REFUSING.some((kind) => error instanceof kind) ? 'refused' : 'failed', code);
}

const REFUSING = [Refusal, KeyError, EnrolmentError, TrustError, FleetError] as const;
