import type { Answer } from '@paddock/shared/answer.ts';
import { seal, type Signing } from '@paddock/shared/envelope.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Broker, Clock, Log, Metrics } from '../ports.ts';
import type { RefusedMessage } from './authenticate.ts';
import type { Outcome } from './decide.ts';
import type { StartEntry } from './ledger.ts';

/** An answer speaks of one moment: a device that gets it later than this has asked again since. */
const VALID_FOR_MS = 300_000;
/** As many ranges as an answer carries; of a start with more holes the newest are told first. */
const MAX_RANGES = 1024;

type AnswerContent = Omit<Answer, 'v' | 'sentAt' | 'expiresAt' | 'desired' | 'keyList' | keyof Asked>;

/** What the database is asked for an answer, besides what became of reports. */
export type Asked = Pick<Answer, 'wants' | 'crashes'>;

/** What a recorded, repeated or refused report is answered: all that is recorded of its start. */
export function answerTo(outcome: Outcome, start: StartEntry): AnswerContent {
  const { deviceId, report, digest, receivedAt } = outcome.message;
  return {
    device: deviceId,
    incarnation: report.incarnation,
    start: report.start,
    digest,
    ...(report.ask !== undefined && { nonce: report.ask }),
    recorded: recordedOf(outcome, start),
    rejected: [...start.rejected],
    receivedAt: toInstant(receivedAt),
  };
}

/** Of what was settled long ago only the repeat itself is named: the ranges begin above. */
function recordedOf({ message: { report }, verdict }: Outcome, start: StartEntry): [number, number][] {
  const { sequence } = report;
  const ranges = start.recorded.slice(1 - MAX_RANGES).map(([first, last]): [number, number] => [first, last]);
  return verdict.kind === 'repeat' && sequence < start.settledBelow ? [[sequence, sequence], ...ranges] : ranges;
}

/** What a message is answered whose signature was good and whose content could not be read. */
export function answerToUnreadable(deviceId: string, digest: string, refused: RefusedMessage): AnswerContent {
  return {
    device: deviceId,
    incarnation: null,
    start: null,
    digest,
    recorded: [],
    rejected: [{ sequence: null, digest, code: refused.code }],
    receivedAt: toInstant(refused.receivedAt),
  };
}

export interface AnswerParts {
  readonly broker: Pick<Broker, 'publish'>;
  readonly signing: Signing;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Of this database: it changes only while the service does not run. */
  readonly epoch: number;
  /** The version of the newest list of keys; 0 before the first. */
  readonly keyList: () => number;
  /** The version of a device's desired state; 0 when nothing was ever set. */
  readonly desiredVersion: (deviceId: string) => number;
}

/** Signs answers with the online key and sends them. A lost answer costs nothing: the device asks again. */
export class Answers {
  readonly #broker: Pick<Broker, 'publish'>;
  readonly #signing: Signing;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #epoch: number;
  readonly #keyList: () => number;
  readonly #desiredVersion: AnswerParts['desiredVersion'];
  readonly #sending = new Set<Promise<void>>();

  constructor(deps: AnswerParts) {
    this.#epoch = deps.epoch;
    this.#keyList = deps.keyList;
    this.#desiredVersion = deps.desiredVersion;
    this.#broker = deps.broker;
    this.#signing = deps.signing;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#log = deps.log;
  }

  /**
   * Never rejects.
   * @param ask finds out what the device shall send besides, and what it need not keep
   */
  async send(content: AnswerContent, ask: () => Promise<Asked> = async () => ({ wants: [] })): Promise<void> {
    const sending = this.#send(content, ask);
    this.#sending.add(sending);
    await sending;
    this.#sending.delete(sending);
  }

  /** Resolves when every answer so far is with the broker, or has failed. */
  async sent(): Promise<void> {
    await Promise.all(this.#sending);
  }

  async #send(content: AnswerContent, ask: () => Promise<Asked>): Promise<void> {
    try {
      const asked = await ask();
      const desired = { epoch: this.#epoch, version: this.#desiredVersion(content.device) };
      const current = { desired, keyList: this.#keyList(), ...asked };
      const answer = await seal('answer', complete(content, this.#clock.wall(), current), this.#signing);
      await this.#broker.publish(topicOf('answer', content.device), answer);
      this.#metrics.count('paddock_answers_sent_total');
    } catch (cause) {
      this.#log.warn({ err: cause, deviceId: content.device }, 'An answer could not be sent');
    }
  }
}

const complete = (
  content: AnswerContent,
  sentAt: WallMs,
  { desired, keyList, wants, crashes }: Pick<Answer, 'desired'> & Asked & { keyList: number },
): Answer => ({
  v: PAYLOAD_VERSION,
  ...content,
  sentAt: toInstant(sentAt),
  expiresAt: toInstant(wallMs(sentAt + VALID_FOR_MS)),
  desired,
  ...(keyList > 0 && { keyList }),
  wants,
  ...(crashes && { crashes }),
});
