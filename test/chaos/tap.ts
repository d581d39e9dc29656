import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { parseAnswer } from '@paddock/shared/answer.ts';
import { openEnvelope, parseEnvelope } from '@paddock/shared/envelope.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Passed } from '../harness/mqtt-relay.ts';

/** What the device was told by signed answers. */
export interface Told {
  readonly answers: number;
  /** `incarnation/start/sequence` of every report that an answer called recorded. */
  readonly recorded: ReadonlySet<string>;
  /** Codes of reports that an answer refused. */
  readonly refused: readonly string[];
  /** Answers that do not verify. */
  readonly broken: readonly string[];
}

export interface Tap {
  passed(message: Passed): void;
  /** From when on answers are verified; those that came before are verified then. */
  verifyWith(key: VerificationKey): void;
  reportsSent(): number;
  /** Answers so far, whatever they say. */
  answersHeard(): number;
  told(): Promise<Told>;
}

/** Listens to the device's own connection: what it sends, and what it is answered. */
export function tapDevice(device: string): Tap {
  const answers: string[] = [];
  let reports = 0;
  let key: VerificationKey | null = null;
  return {
    passed({ clientId, from, topic, payload }) {
      if (clientId !== device) return;
      if (from === 'client' && topic === topicOf('report', device)) reports += 1;
      if (from === 'broker' && topic === topicOf('answer', device)) answers.push(payload);
    },
    verifyWith: (given) => void (key = given),
    reportsSent: () => reports,
    answersHeard: () => answers.length,
    async told() {
      const recorded = new Set<string>();
      const refused: string[] = [];
      const broken: string[] = [];
      for (const text of answers) {
        try {
          if (key === null) throw new Error('There is no key to verify answers with');
          const answer = parseAnswer(await openEnvelope(parseEnvelope(text), key, inflater));
          refused.push(...answer.rejected.map(({ code }) => code));
          for (const [first, last] of answer.recorded)
            for (let sequence = first; sequence <= last; sequence += 1)
              recorded.add(`${answer.incarnation}/${answer.start}/${sequence}`);
        } catch (cause) {
          broken.push(String(cause));
        }
      }
      return { answers: answers.length, recorded, refused, broken };
    },
  };
}
