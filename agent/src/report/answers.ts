import { parseAnswer, type Answer } from '@paddock/shared/answer.ts';
import { openEnvelope, parseEnvelope, type Inflate } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { fromInstant, type UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { Held, SealedReport } from './sealed.ts';

/** An answer that is genuine and not for us, or not for now. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';
  readonly code: 'answer_unawaited' | 'answer_mismatch' | 'answer_epoch_old' | 'answer_expired';
  constructor(code: AnswerError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface AnswerContext {
  readonly device: string;
  /** The cloud's online keys, pinned at registration. */
  readonly keys: readonly VerificationKey[];
  /** The epoch that the fleet root sealed last: who answers from before has been restored since, and knows less. */
  readonly leastEpoch: number;
  readonly inflater: Inflate;
  readonly held: (digest: string) => Held | undefined;
  /** Which start this is: of its reports alone it is known when they were first sent. */
  readonly origin: Pick<SealedReport, 'incarnation' | 'start'>;
  /** When the answer came. */
  readonly arrival: Moment;
  readonly trusted: (moment: Moment) => TrustedInterval;
}

/**
 * Shape before signature, signature before meaning. An answer is only taken for a report that we hold and sent.
 * @throws Refusal for shape and signature, AnswerError for what it means
 */
export async function readAnswer(text: string, context: AnswerContext): Promise<{ answer: Answer; answered: Held }> {
  const envelope = parseEnvelope(text);
  if (envelope.kind !== 'answer') throw new Refusal('typ_mismatch', envelope.kind);
  const key = context.keys.find(({ keyId }) => keyId === envelope.keyId);
  if (!key) throw new Refusal('key_unknown', envelope.keyId);
  const answer = parseAnswer(await openEnvelope(envelope, key, context.inflater));
  if (answer.device !== context.device) throw new Refusal('device_mismatch', answer.device);
  return { answer, answered: checkMeaning(answer, context) };
}

function checkMeaning(answer: Answer, context: AnswerContext): Held {
  const report = context.held(answer.digest);
  // The usual reason is harmless: an answer to another report has covered this one already.
  if (!report || report.sentAt === null)
    throw new AnswerError('answer_unawaited', 'No report of this digest awaits an answer');
  if (!names(answer, report))
    throw new AnswerError('answer_mismatch', 'The answer names another start than its report');
  if (!boundTo(answer, report))
    throw new AnswerError('answer_mismatch', 'The answer does not repeat the nonce of its report');
  if (answer.desired.epoch < context.leastEpoch)
    throw new AnswerError('answer_epoch_old', `The answer is of epoch ${answer.desired.epoch}, which is over`);
  if (!isInTime(answer, report, report.sentAt, context))
    throw new AnswerError('answer_expired', 'The answer came after its expiry');
  return report;
}

/** Null means that the cloud could not read so far; then the digest alone says which report is meant. */
const names = ({ incarnation, start }: Answer, report: Held): boolean =>
  (incarnation ?? report.incarnation) === report.incarnation && (start ?? report.start) === report.start;

/** Without the nonce an answer can only reject: what could not be read, or did not ask. */
const boundTo = (answer: Answer, report: Held): boolean =>
  answer.nonce === undefined
    ? answer.rejected.some(({ digest }) => digest === report.digest)
    : answer.nonce === report.nonce;

/**
 * An answer is no older than the nonce that it repeats: what came within its lifetime after that was first sent is in
 * time, whatever any clock says. Beyond that trusted time decides, and without it the last sending.
 */
function isInTime(
  answer: Answer,
  report: Held,
  sentAt: UptimeMs,
  { origin, arrival, trusted }: AnswerContext,
): boolean {
  const lifetimeMs = fromInstant(answer.expiresAt) - fromInstant(answer.sentAt);
  const asked = firstSentOf(report, origin);
  if (asked?.segment === arrival.segment && arrival.at - asked.at <= lifetimeMs) return true;
  const { latest } = trusted(arrival);
  return latest === null ? arrival.at - sentAt <= lifetimeMs : latest <= fromInstant(answer.expiresAt);
}

/** When the report was first sent; null when an earlier start may have sent it before. */
export const firstSentOf = (report: Held, origin: Pick<SealedReport, 'incarnation' | 'start'>): Moment | null =>
  report.incarnation === origin.incarnation && report.start === origin.start ? report.firstSent : null;
