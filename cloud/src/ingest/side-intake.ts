import { REFUSALS, type RefusalCode } from '@paddock/shared/errors.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Clock, Inbound, Log, MetricName, Metrics, Opener } from '../ports.ts';
import { authenticateAs, type Authentic, type Reading } from './authenticate.ts';
import type { KeyDirectory } from './directory.ts';
import type { Rejections } from './rejections.ts';
import { SparingLog } from './sparing-log.ts';

/** What a message beside the reports is taken in with. */
export interface SideDeps {
  readonly keys: KeyDirectory;
  readonly opener: Opener;
  readonly rejections: Pick<Rejections, 'add'>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** One kind of messages beside the reports. */
export interface SideKind<Content extends { readonly device: string }, Message extends Authentic> {
  readonly reading: Reading<Content, Message>;
  /** Counts what became of each. */
  readonly metric: MetricName;
  /** What the log says of one that could not be recorded. */
  readonly failure: string;
  /** Records one. @returns what became of it, and why it is refused where it is */
  readonly record: (message: Message) => Promise<{ readonly outcome: string; readonly refused?: RefusalCode }>;
}

/** They are rare; past these bounds they are let go, and come again. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 16_777_216;

/**
 * Takes messages in beside the reports, and never in their way: one after the other, acknowledged at once. One that is
 * lost, be it by us, is sent again: the next answer to its device says that it is not here.
 */
export class SideIntake<Content extends { readonly device: string }, Message extends Authentic> {
  readonly #deps: SideDeps;
  readonly #kind: SideKind<Content, Message>;
  readonly #defects: SparingLog;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #waitingBytes = 0;
  #isClosing = false;

  constructor(deps: SideDeps, kind: SideKind<Content, Message>) {
    this.#deps = deps;
    this.#kind = kind;
    this.#defects = new SparingLog(deps.clock, (fields, message) => deps.log.error(fields, message));
  }

  /** Whether a message is for this intake; all that no side takes are for the one of reports. */
  takes({ topic }: Pick<Inbound, 'topic'>): boolean {
    return topic.endsWith(`/${this.#kind.reading.kind}`);
  }

  /** Never rejects. */
  async accept(inbound: Inbound): Promise<void> {
    const { length } = inbound.payload;
    if (this.#isClosing || this.#waiting >= MAX_WAITING || this.#waitingBytes + length > MAX_WAITING_BYTES)
      return this.#count('dropped');
    this.#waiting += 1;
    this.#waitingBytes += length;
    this.#last = this.#last.then(async () => {
      await this.#take(inbound);
      this.#waiting -= 1;
      this.#waitingBytes -= length;
    });
  }

  /** Takes nothing in any more, and lets go of what has not begun. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#last;
  }

  async #take(inbound: Inbound): Promise<void> {
    const { keys, opener, rejections } = this.#deps;
    if (this.#isClosing) return;
    try {
      const authentication = await authenticateAs(this.#kind.reading, inbound, keys, opener);
      if (authentication.verdict === 'refused') {
        rejections.add(authentication.message);
        return this.#count('refused');
      }
      const { outcome, refused } = await this.#kind.record(authentication.message);
      this.#count(outcome);
      if (refused !== undefined) this.#refuse(authentication.message, refused);
    } catch (cause) {
      this.#count('failed');
      this.#defects.tell({ err: cause, what: inbound.topic }, this.#kind.failure);
    }
  }

  #refuse({ deviceId, envelope, receivedAt, digest }: Authentic, code: RefusalCode): void {
    const topic = topicOf(this.#kind.reading.kind, deviceId);
    const refused = { topic, deviceId, payload: envelope, receivedAt, code, signedDigest: digest };
    this.#deps.rejections.add({ ...refused, detail: REFUSALS[code].title });
  }

  #count(outcome: string): void {
    this.#deps.metrics.count(this.#kind.metric, { outcome });
  }
}
