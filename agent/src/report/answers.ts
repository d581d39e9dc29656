import { parseAnswer, type Answer } from '@paddock/shared/answer.ts';
import { openEnvelope, parseEnvelope, type Inflate } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { fromInstant, type UptimeMs } from '@paddock/shared/time.ts';
import type { Held } from './outbox.ts';

/** An answer that is genuine and not for us, or not for now. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';
  readonly code: 'answer_unawaited' | 'answer_mismatch' | 'answer_expired';
  constructor(code: AnswerError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface AnswerContext {
  readonly device: string;
  /** The cloud's online keys, pinned at registration. */
  readonly keys: readonly VerificationKey[];
  readonly inflater: Inflate;
  readonly held: (digest: string) => Held | undefined;
  readonly now: UptimeMs;
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

function checkMeaning(answer: Answer, { held, now }: AnswerContext): Held {
  const report = held(answer.digest);
  // The usual reason is harmless: an answer to another report has covered this one already.
  if (!report || report.sentAt === null)
    throw new AnswerError('answer_unawaited', 'No report of this digest awaits an answer');
  if (!names(answer, report))
    throw new AnswerError('answer_mismatch', 'The answer names another start than its report');
  if (!boundTo(answer, report))
    throw new AnswerError('answer_mismatch', 'The answer does not repeat the nonce of its report');
  if (now - report.sentAt > lifetimeMs(answer))
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
 * This device has no trusted time yet, so the expiry is judged by a span: the answer cannot be older than
 * the report that it answers.
 */
const lifetimeMs = ({ sentAt, expiresAt }: Answer): number => fromInstant(expiresAt) - fromInstant(sentAt);
