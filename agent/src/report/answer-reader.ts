import type { Answer } from '@paddock/shared/answer.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Moment } from '../clock/exchange.ts';
import { AnswerError, firstSentOf, readAnswer } from './answers.ts';
import { codeOf, createQuiet } from './log.ts';
import type { Held } from './sealed.ts';
import type { SessionOptions, SessionParts } from './parts.ts';
import type { OutboxStore } from './store.ts';

/** Answers that wait to be verified: whoever may publish on our topic must not fill the memory. */
const WAITING = 64;

/** What an answer is besides what it says. */
export interface Heard {
  readonly isExchange: boolean;
  /** When its report was sent for the first time; null where it proves nothing of when the cloud was there. */
  readonly asked: Moment | null;
}

/**
 * Handles answers one after the other. A bad one is logged with its code and changes nothing.
 * @returns what takes a message at its very arrival: the moment of it is half of an exchange
 */
export function createAnswerReader(
  { clock, inflater, log, time }: SessionParts,
  { device, cloudKeys, leastEpoch = () => 0, keyUnknown, keyListSeen, incarnation, start }: SessionOptions,
  store: OutboxStore,
  answered: (answer: Answer, heard: Heard) => void,
): (topic: string, payload: string) => void {
  const held = (digest: string): Held | undefined => store.outbox().find(digest);
  const origin = { incarnation, start };
  const [quiet, quietFlood] = [createQuiet(clock), createQuiet(clock)];
  let waiting = 0;
  const read = async (payload: string, arrival: Moment): Promise<void> => {
    try {
      const believed = { keys: cloudKeys(), leastEpoch: leastEpoch() };
      const context = { device, ...believed, inflater, held, origin, arrival, trusted: time.at };
      const { answer, answered: report } = await readAnswer(payload, context);
      const isExchange = time.answered(answer, report, arrival);
      const counts = store.settle(answer, report, clock.monotonic());
      log.debug({ start: report.start, sequence: report.sequence, ...counts }, 'The cloud answered');
      answered(answer, { isExchange, asked: answer.nonce === undefined ? null : firstSentOf(report, origin) });
      if (answer.keyList !== undefined) keyListSeen?.(answer.keyList, answer.desired.epoch);
    } catch (cause) {
      if (cause instanceof AnswerError && cause.code === 'answer_unawaited')
        log.debug({ code: cause.code }, 'An answer was not awaited');
      else quiet((times) => log.warn({ code: codeOf(cause), times, err: cause }, 'An answer was not taken'));
      if (codeOf(cause) === 'key_unknown') keyUnknown?.();
    }
    waiting -= 1;
  };
  let last = Promise.resolve();
  return (topic, payload) => {
    // The uptime first: after a suspend in between, the segment differs from the request's, and nothing is concluded.
    const arrival = { at: clock.monotonic(), segment: clock.segment() };
    if (topic !== topicOf('answer', device)) return;
    if (waiting >= WAITING)
      return quietFlood((times) => log.warn({ code: 'answer_flood', times }, 'Too many answers: some were not read'));
    waiting += 1;
    last = last.then(() => read(payload, arrival));
  };
}
