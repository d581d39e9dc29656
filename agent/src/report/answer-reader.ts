import { topicOf } from '@paddock/shared/topics.ts';
import { AnswerError, readAnswer } from './answers.ts';
import { codeOf, createQuiet } from './log.ts';
import type { Held } from './outbox.ts';
import type { SessionOptions, SessionParts } from './parts.ts';
import type { OutboxStore } from './store.ts';

/** Answers that wait to be verified: whoever may publish on our topic must not fill the memory. */
const WAITING = 64;

/** Handles answers one after the other. A bad one is logged with its code and changes nothing. */
export function createAnswerReader(
  { clock, inflater, log }: SessionParts,
  { device, cloudKeys }: SessionOptions,
  store: OutboxStore,
  answered: (digest: string) => void,
): (topic: string, payload: string) => void {
  const held = (digest: string): Held | undefined => store.outbox().held.find((entry) => entry.digest === digest);
  const quiet = createQuiet(clock);
  let waiting = 0;
  const read = async (payload: string): Promise<void> => {
    try {
      const context = { device, keys: cloudKeys, inflater, held, now: clock.monotonic() };
      const { answer, answered: report } = await readAnswer(payload, context);
      const counts = store.settle(answer, report, clock.monotonic());
      log.debug({ start: report.start, sequence: report.sequence, ...counts }, 'The cloud answered');
      answered(report.digest);
    } catch (cause) {
      if (cause instanceof AnswerError && cause.code === 'answer_unawaited')
        log.debug({ code: cause.code }, 'An answer was not awaited');
      else quiet((times) => log.warn({ code: codeOf(cause), times, err: cause }, 'An answer was not taken'));
    }
    waiting -= 1;
  };
  let last = Promise.resolve();
  return (topic, payload) => {
    if (topic !== topicOf('answer', device) || waiting >= WAITING) return;
    waiting += 1;
    last = last.then(() => read(payload));
  };
}
