import type { Enrolled } from '@paddock/shared/enrolment.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import type { Moment } from '../clock/exchange.ts';
import type { Clock } from '../ports.ts';
import { EnrolError } from './enrol-error.ts';
import { walkKeyLists, type Listed } from './key-lists.ts';
import type { Pin } from './pin.ts';
import { checkOwnCertificate, readEnrolled, sealRequest, type Applicant } from './request.ts';
import type { Member } from './record.ts';
import type { EnrolmentService } from './service.ts';

/** What the cloud decided. */
export type Decision =
  /** `identity`: thumbprint of the key that was let in. */
  | { readonly status: 'accepted'; readonly member: Member; readonly identity: string }
  | { readonly status: 'pending' | 'rejected'; readonly retryAfterSeconds: number | null }
  | { readonly status: 'retired' };

export interface AttemptParts {
  readonly clock: Clock;
  readonly inflater: Inflate;
  readonly service: EnrolmentService;
  /** Who asks with this nonce. */
  readonly applicant: (nonce: string) => Promise<Applicant>;
  readonly pin: Pin;
  /** Null before the first walk. */
  readonly known: Listed | null;
  /** Hears of the newest list before anything is believed by it; resolves when it is durable. */
  readonly listed: (list: Listed) => Promise<void>;
  /** The request and its answer are an exchange: all that is needed to know the time. */
  readonly exchanged: (request: Moment, answer: Pick<Enrolled, 'receivedAt' | 'sentAt'>, arrival: Moment) => void;
}

/** Lists of keys, nonce, request, answer: asks once. @throws EnrolError, Refusal, and what the connection throws */
export async function attemptEnrolment(parts: AttemptParts): Promise<Decision> {
  const { clock, inflater, service, pin } = parts;
  const moment = (): Moment => ({ at: clock.monotonic(), segment: clock.segment() });
  const list = await walkKeyLists((version) => service.keyList(version), pin.root, parts.known);
  if (list.text !== parts.known?.text) await parts.listed(list);
  const askedAt = moment();
  const nonce = await service.nonce();
  const applicant = await parts.applicant(nonce);
  const request = await sealRequest(applicant, pin, nonce);
  const requestedAt = moment();
  const text = await service.request(request.jws);
  const arrival = moment();
  const enrolled = await readEnrolled(text, { keys: list.keys, request, askedAt, arrival, inflater });
  parts.exchanged(requestedAt, enrolled, arrival);
  return decisionOf(enrolled, applicant);
}

function decisionOf(enrolled: Enrolled, { device: known, tlsKey, publicKey }: Applicant): Decision {
  const { status, device, certificate, mqttUrl, retryAfterSeconds, sentAt } = enrolled;
  if (status === 'retired') return { status };
  if (status !== 'accepted') return { status, retryAfterSeconds: retryAfterSeconds ?? null };
  if (device === undefined || certificate === undefined) throw new EnrolError('enrolled_incomplete');
  if (mqttUrl !== undefined && !mqttUrl.startsWith('mqtts://')) throw new EnrolError('enrolled_incomplete', mqttUrl);
  if (known !== null && known !== device) throw new EnrolError('device_changed', `${device} instead of ${known}`);
  checkOwnCertificate(certificate.chain[0] ?? '', device, tlsKey);
  const member = { device, mqttUrl: mqttUrl ?? null, certificate, tlsKey: tlsKey.pem, sentAt };
  return { status, member, identity: publicKey.thumbprint };
}
