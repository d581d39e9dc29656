import { topicOf } from '@paddock/shared/topics.ts';
import { AnswerError, readAnswer } from './answers.ts';
import { codeOf } from './log.ts';
import type { Held } from './outbox.ts';
import type { SessionOptions, SessionParts } from './parts.ts';
import type { OutboxStore } from './store.ts';

/** Handles answers one after the other. A bad one is logged with its code and changes nothing. */
export function createAnswerReader(
  { clock, inflater, log }: SessionParts,
  { device, cloudKeys }: SessionOptions,
  store: OutboxStore,
  answered: (digest: string) => void,
): (topic: string, payload: string) => void {
  const held = (digest: string): Held | undefined => store.outbox().held.find((entry) => entry.digest === digest);
  const read = async (payload: string): Promise<void> => {
    try {
      const context = { device, keys: cloudKeys, inflater, held, now: clock.monotonic() };
      const { answer, answered: report } = await readAnswer(payload, context);
      const counts = store.settle(answer, report, clock.monotonic());
      log.debug({ start: report.start, sequence: report.sequence, ...counts }, 'The cloud answered');
      answered(report.digest);
    } catch (cause) {
      const level = cause instanceof AnswerError && cause.code === 'answer_unawaited' ? 'debug' : 'warn';
      log[level]({ code: codeOf(cause), err: cause }, 'An answer was not taken');
    }
  };
  let last = Promise.resolve();
  return (topic, payload) => {
    if (topic === topicOf('answer', device)) last = last.then(() => read(payload));
  };
}
