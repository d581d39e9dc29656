import type { Inflate } from '@paddock/shared/envelope.ts';
import { REFUSALS, type RefusalCode } from '@paddock/shared/errors.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { tell } from '../monitoring/telling.ts';
import type { Clock, Inbound, Log, Metrics, Store } from '../ports.ts';
import { answerTo, answerToUnreadable, type Answers } from './answer.ts';
import { authenticate, type AuthenticReport, type RefusedMessage } from './authenticate.ts';
import type { Decision, Outcome } from './decide.ts';
import type { KeyDirectory } from './directory.ts';
import { failureOf } from './failure.ts';
import { startKeyOf } from './ledger.ts';
import { recordBatch, type Recorded } from './record.ts';
import type { Rejections } from './rejections.ts';
import { SeenChanges } from './seen-changes.ts';
import { SparingLog } from './sparing-log.ts';

export interface IngestDeps {
  readonly store: Store;
  readonly keys: KeyDirectory;
  readonly inflater: Inflate;
  readonly answers: Answers;
  readonly rejections: Rejections;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** How wrong the cloud's own clock can be now, in ms. */
  readonly cloudErrorMs: () => number;
  readonly limits?: Partial<IngestLimits>;
}

export interface IngestLimits {
  /** Reports in one transaction. */
  readonly batch: number;
  /** Messages, and the bytes of envelopes and payloads, in memory; past either acknowledgements are held back. */
  readonly waiting: number;
  readonly waitingBytes: number;
  /** How long an acknowledgement is held back, in ms, before the message is let go: its device sends it again. */
  readonly holdMs: number;
}

interface Held {
  readonly inbound: Inbound;
  readonly until: number;
  readonly resolve: (taken: boolean) => void;
}

const LIMITS: IngestLimits = { batch: 500, waiting: 2000, waitingBytes: 67_108_864, holdMs: 5000 };
const RETRY_MS = { first: 100, most: 5000 };
const POLL_MS = 20;
/** What the last answers may take when the service closes. */
const LAST_ANSWERS_MS = 2000;

/**
 * authenticate -> order -> reconcile -> record, then answer. Many messages are authenticated at once;
 * one batch is recorded at a time, and the next gathers meanwhile.
 */
export class Ingest {
  readonly #deps: IngestDeps;
  readonly #limits: IngestLimits;
  readonly #closing = new AbortController();
  #queue: AuthenticReport[] = [];
  /** Messages that were taken in and are neither recorded nor refused. */
  #waiting = 0;
  #waitingBytes = 0;
  #recording: Promise<void> | null = null;
  #databaseAway = false;
  /** Messages whose acknowledgement is held back, oldest first. */
  readonly #held: Held[] = [];
  #isWatchingHeld = false;
  #takesIn = true;
  readonly #defects: SparingLog;
  readonly #seenChanges = new SeenChanges();

  constructor(deps: IngestDeps) {
    this.#deps = deps;
    this.#limits = { ...LIMITS, ...deps.limits };
    this.#defects = new SparingLog(deps.clock, (fields, message) => deps.log.error(fields, message));
  }

  /**
   * Takes one message in. Resolves when the broker may acknowledge it, which promises nothing:
   * only an answer says that a report is recorded. Never rejects.
   */
  async accept(inbound: Inbound): Promise<void> {
    const taken = this.#take(inbound) || (await this.#hold(inbound));
    if (!taken) this.#deps.metrics.count('paddock_reports_dropped_total');
  }

  /**
   * Takes nothing in any more, records what it has, as far as the database lets it within `graceMs`, answers that,
   * and stops. What is left is not answered, so that its devices send it again.
   */
  async close(graceMs = 5000): Promise<void> {
    const { clock, answers } = this.#deps;
    if (this.#closing.signal.aborted) return;
    this.#takesIn = false;
    const until = clock.monotonic() + graceMs;
    while (this.#waiting > 0 && clock.monotonic() < until) await clock.sleep(POLL_MS);
    this.#closing.abort();
    await this.#within(graceMs, this.#recording);
    await this.#within(LAST_ANSWERS_MS, answers.sent());
  }

  /** A database or a broker that hangs must not keep the service from stopping. */
  async #within(ms: number, work: Promise<void> | null): Promise<void> {
    const done = new AbortController();
    await Promise.race([work, this.#deps.clock.sleep(ms, done.signal)]);
    done.abort();
  }

  /** Looks and takes in one step, so that a burst cannot slip through together. */
  #take(inbound: Inbound): boolean {
    if (this.#isFull() || !this.#takesIn) return false;
    this.#wait(1, inbound.payload.length);
    // Not awaited: the acknowledgement is flow control and waits for room only.
    void this.#authenticate(inbound);
    return true;
  }

  /** Waits in line for room. @returns whether the message was taken in the end */
  #hold(inbound: Inbound): Promise<boolean> {
    if (!this.#takesIn) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#held.push({ inbound, until: this.#deps.clock.monotonic() + this.#limits.holdMs, resolve });
    if (!this.#isWatchingHeld) void this.#watchHeld();
    return promise;
  }

  /** Room has come: first come, first served. */
  #admitHeld(): void {
    for (let next = this.#held[0]; next !== undefined && this.#take(next.inbound); next = this.#held[0]) {
      this.#held.shift();
      next.resolve(true);
    }
  }

  /** One loop for all that wait, because each of them waits equally long. */
  async #watchHeld(): Promise<void> {
    const { clock } = this.#deps;
    this.#isWatchingHeld = true;
    while (this.#held.length > 0) {
      await clock.sleep(POLL_MS, this.#closing.signal);
      const now = this.#takesIn ? clock.monotonic() : Infinity;
      for (let next = this.#held[0]; next !== undefined && next.until <= now; next = this.#held[0]) {
        this.#held.shift();
        next.resolve(false);
      }
    }
    this.#isWatchingHeld = false;
  }

  #isFull(): boolean {
    return this.#waiting >= this.#limits.waiting || this.#waitingBytes >= this.#limits.waitingBytes;
  }

  #wait(messages: number, bytes: number): void {
    this.#waiting += messages;
    this.#waitingBytes += bytes;
    this.#deps.metrics.gauge('paddock_ingest_waiting', this.#waiting);
    if (messages < 0) this.#admitHeld();
  }

  async #authenticate(inbound: Inbound): Promise<void> {
    const { keys, inflater } = this.#deps;
    try {
      const authentication = await this.#persist(() => authenticate(inbound, keys, inflater));
      if (authentication?.verdict === 'authentic') return this.#enqueue(authentication.message);
      if (authentication) this.#refuse(authentication.message);
    } catch (cause) {
      this.#letGo(inbound.topic, cause);
    }
    this.#wait(-1, -inbound.payload.length);
  }

  #enqueue(message: AuthenticReport): void {
    this.#wait(0, message.payloadBytes);
    this.#queue.push(message);
    this.#recording ??= this.#recordAll();
  }

  async #recordAll(): Promise<void> {
    while (this.#queue.length > 0 && !this.#closing.signal.aborted) {
      const batch = this.#queue.splice(0, this.#limits.batch);
      await this.#record(batch);
      this.#wait(-batch.length, -batch.reduce((bytes, message) => bytes + bytesOf(message), 0));
    }
    this.#recording = null;
  }

  /** Records a batch; one that cannot be recorded is halved until the culprit stands alone. */
  async #record(batch: readonly AuthenticReport[]): Promise<void> {
    const { store, cloudErrorMs } = this.#deps;
    try {
      const recorded = await this.#persist(() => recordBatch(store, batch, cloudErrorMs(), this.#seenChanges));
      if (recorded) this.#conclude(recorded);
    } catch (cause) {
      const [first] = batch;
      if (batch.length === 1 && first) return this.#giveUp(first, cause);
      const middle = batch.length >> 1;
      await this.#record(batch.slice(0, middle));
      await this.#record(batch.slice(middle));
    }
  }

  /** Tries until it works: a database that is away stops nothing. Undefined when the service closes first. */
  async #persist<T>(attempt: () => Promise<T>): Promise<T | undefined> {
    const { clock, metrics, log } = this.#deps;
    for (let pauseMs = RETRY_MS.first; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS.most)) {
      try {
        const result = await attempt();
        if (this.#databaseAway) log.info({}, 'The database takes reports again');
        this.#databaseAway = false;
        return result;
      } catch (cause) {
        if (failureOf(cause) !== 'passing') throw cause;
        if (this.#closing.signal.aborted) return undefined;
        metrics.count('paddock_ingest_failures_total');
        if (!this.#databaseAway) log.warn({ err: cause }, 'The database does not take reports; trying until it does');
        this.#databaseAway = true;
        await clock.sleep(pauseMs, this.#closing.signal);
      }
    }
  }

  #giveUp(message: AuthenticReport, cause: unknown): void {
    if (failureOf(cause) !== 'payload') return this.#letGo(message.deviceId, cause);
    this.#deps.log.warn({ err: cause, deviceId: message.deviceId }, 'A payload cannot be stored');
    this.#refuse({ ...refusedReport(message, 'payload_unstorable'), signedDigest: message.digest });
  }

  /** A defect of ours must not cost a device its report: without an answer it sends it again. */
  #letGo(what: string, cause: unknown): void {
    this.#deps.metrics.count('paddock_reports_dropped_total');
    this.#defects.tell({ err: cause, what }, 'A message could not be handled and was let go');
  }

  #conclude({ decision, alarms }: Recorded): void {
    const { metrics, clock, log } = this.#deps;
    const now = clock.wall();
    for (const outcome of decision.outcomes) {
      const { verdict, message } = outcome;
      if (verdict.kind === 'new') {
        metrics.count('paddock_reports_recorded_total');
        metrics.observe('paddock_ingest_commit_seconds', Math.max(0, now - message.receivedAt) / 1000);
      } else if (verdict.kind === 'repeat') metrics.count('paddock_reports_repeated_total');
      else this.#refuse(refusedReport(message, verdict.code));
      this.#answer(outcome, decision.starts);
    }
    for (const code of decision.clocks.faults) metrics.count('paddock_clock_faults_total', { code });
    for (const alarm of alarms) tell(log, alarm);
  }

  #answer(outcome: Outcome, starts: Decision['starts']): void {
    const start = starts.get(startKeyOf(outcome.message));
    const asked = outcome.message.report.ask !== undefined || outcome.verdict.kind === 'refused';
    if (start && asked) void this.#deps.answers.send(answerTo(outcome, start));
  }

  #refuse(refused: RefusedMessage): void {
    const { rejections, answers } = this.#deps;
    rejections.add(refused);
    const { code, deviceId, signedDigest } = refused;
    if (deviceId !== null && signedDigest !== null && REFUSALS[code].permanent)
      void answers.send(answerToUnreadable(deviceId, signedDigest, refused));
  }
}

const bytesOf = ({ envelope, payloadBytes }: AuthenticReport): number => envelope.length + payloadBytes;

const refusedReport = (message: AuthenticReport, code: RefusalCode): RefusedMessage => ({
  topic: topicOf('report', message.deviceId),
  deviceId: message.deviceId,
  payload: message.envelope,
  receivedAt: message.receivedAt,
  code,
  detail: REFUSALS[code].title,
  // Answered with all that is known of its start.
  signedDigest: null,
});
