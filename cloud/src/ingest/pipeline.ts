import { REFUSALS, type RefusalCode } from '@paddock/shared/errors.ts';
import type { Report } from '@paddock/shared/report.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { tell } from '../monitoring/telling.ts';
import type { Clock, ErrorAt, Inbound, Log, Metrics, Opener, Store } from '../ports.ts';
import { Admission, type AdmissionLimits } from './admission.ts';
import { answerTo, answerToUnreadable, type Answers, type Asked } from './answer.ts';
import { authenticate, type AuthenticReport, type RefusedMessage } from './authenticate.ts';
import { tryNext } from './culprits.ts';
import type { Decision, Outcome } from './decide.ts';
import type { KeyDirectory } from './directory.ts';
import { failureOf } from './failure.ts';
import { startKeyOf } from './ledger.ts';
import { resendPerSecond } from './pacing.ts';
import { recordBatch, type Recorded } from './record.ts';
import type { Rejections } from './rejections.ts';
import { SeenChanges } from './seen-changes.ts';
import { SparingLog } from './sparing-log.ts';

export interface IngestDeps {
  readonly store: Store;
  readonly keys: KeyDirectory;
  readonly opener: Opener;
  readonly answers: Answers;
  readonly rejections: Rejections;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly errorAt: ErrorAt;
  /** Whether a device is to send its inventory, having said that its digest is this one. Never rejects. */
  readonly wantsInventory?: (deviceId: string, digest: string) => Promise<boolean>;
  /** Of the crash reports that a device names, those that are recorded. Never rejects. */
  readonly knownCrashes?: (deviceId: string, ids: readonly string[]) => Promise<string[]>;
  /** Told what a device's newest report says of its desired state. */
  readonly desiredReported?: (deviceId: string, desired: Report['desired']) => void;
  readonly limits?: Partial<IngestLimits>;
}

export interface IngestLimits extends AdmissionLimits {
  /** Reports in one transaction. */
  readonly batch: number;
}

const LIMITS: IngestLimits = { batch: 500, waiting: 2000, waitingBytes: 67_108_864, holdMs: 5000 };
const RETRY_MS = { first: 100, most: 5000 };
const POLL_MS = 20;
/** What the last answers may take when the service closes. */
const LAST_ANSWERS_MS = 2000;
/**
 * Batches on their way to the database at once: the second loads its ledger while the first commits. They meet on rows
 * of the same devices as batches of two instances do.
 */
const MAX_RECORDING = 2;
/** Transactions for one batch that fails for its content, before the rest of it is let go. */
const MAX_TRIES = 100;

/**
 * authenticate -> order -> reconcile -> record, then answer. Many messages are authenticated at once; they are recorded
 * in batches, two at once when there is so much. Nothing waits for the next step but a bounded queue, and what is in
 * there is recorded or refused, whatever else arrives.
 */
export class Ingest {
  readonly #deps: IngestDeps;
  readonly #limits: IngestLimits;
  readonly #closing = new AbortController();
  readonly #admission: Admission;
  readonly #queue: AuthenticReport[] = [];
  readonly #recording = new Set<Promise<void>>();
  #databaseAway = false;
  readonly #defects: SparingLog;
  readonly #seenChanges = new SeenChanges();

  constructor(deps: IngestDeps) {
    this.#deps = deps;
    this.#limits = { ...LIMITS, ...deps.limits };
    this.#defects = new SparingLog(deps.clock, (fields, message) => deps.log.error(fields, message));
    this.#admission = new Admission({
      clock: deps.clock,
      limits: this.#limits,
      // Not awaited: the acknowledgement is flow control and waits for room only.
      take: (inbound) => void this.#authenticate(inbound),
      waitingChanged: (messages) => deps.metrics.gauge('paddock_ingest_waiting', messages),
    });
  }

  /**
   * Takes one message in. Resolves when the broker may acknowledge it, which promises nothing:
   * only an answer says that a report is recorded. Never rejects.
   */
  async accept(inbound: Inbound): Promise<void> {
    if (!(await this.#admission.accept(inbound))) this.#deps.metrics.count('paddock_reports_dropped_total');
  }

  /**
   * Takes nothing in any more, records what it has, as far as the database lets it within `graceMs`, answers that,
   * and stops. What is left is not answered, so that its devices send it again.
   */
  async close(graceMs = 5000): Promise<void> {
    const { clock, answers } = this.#deps;
    if (this.#closing.signal.aborted) return;
    this.#admission.close();
    const until = clock.monotonic() + graceMs;
    while (this.#admission.waiting > 0 && clock.monotonic() < until) await clock.sleep(POLL_MS);
    this.#closing.abort();
    await this.#within(graceMs, Promise.all(this.#recording));
    await this.#within(LAST_ANSWERS_MS, answers.sent());
  }

  /** A database or a broker that hangs must not keep the service from stopping. */
  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    const done = new AbortController();
    await Promise.race([work, this.#deps.clock.sleep(ms, done.signal)]);
    done.abort();
  }

  async #authenticate(inbound: Inbound): Promise<void> {
    const { keys, opener } = this.#deps;
    try {
      const authentication = await this.#persist(() => authenticate(inbound, keys, opener));
      if (authentication?.verdict === 'authentic') return this.#enqueue(authentication.message);
      if (authentication) this.#refuse(authentication.message);
    } catch (cause) {
      this.#letGo(inbound.topic, cause);
    }
    this.#admission.wait(-1, -inbound.payload.length);
  }

  #enqueue(message: AuthenticReport): void {
    this.#admission.wait(0, message.payloadBytes);
    this.#queue.push(message);
    this.#recordQueued();
  }

  /** A batch takes what is there when it starts, and another one starts beside it only when it is full. */
  #recordQueued(): void {
    while (
      this.#recording.size < MAX_RECORDING &&
      this.#queue.length >= (this.#recording.size === 0 ? 1 : this.#limits.batch) &&
      !this.#closing.signal.aborted
    ) {
      const batch = this.#queue.splice(0, this.#limits.batch);
      const recording = this.#record(batch).then(() => {
        this.#recording.delete(recording);
        // The database gets its next batch before others are let in.
        this.#recordQueued();
        this.#admission.wait(-batch.length, -batch.reduce((bytes, message) => bytes + bytesOf(message), 0));
      });
      this.#recording.add(recording);
    }
  }

  /** Records a batch; one that fails for its content is taken apart until the culprits stand alone. Never rejects. */
  async #record(batch: readonly AuthenticReport[]): Promise<void> {
    let parts: (readonly AuthenticReport[])[] = [batch];
    for (let tries = 0; parts.length > 0; tries++) {
      const [part = [], ...others] = parts;
      const failure = await this.#tryToRecord(part);
      parts = failure === null ? others : this.#apart(part, others, failure.cause);
      if (tries >= MAX_TRIES) return parts.flat().forEach(({ deviceId }) => this.#letGo(deviceId, 'too many failures'));
    }
  }

  #apart(failed: readonly AuthenticReport[], others: (readonly AuthenticReport[])[], cause: unknown) {
    if (failed.length > 1) return tryNext(failed, others);
    failed.forEach((culprit) => this.#giveUp(culprit, cause));
    return others;
  }

  async #tryToRecord(part: readonly AuthenticReport[]): Promise<{ readonly cause: unknown } | null> {
    const { store, errorAt } = this.#deps;
    try {
      const recorded = await this.#persist(() => recordBatch(store, part, errorAt, this.#seenChanges));
      if (recorded) this.#conclude(recorded);
      return null;
    } catch (cause) {
      return { cause };
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

  #conclude({ decision, current, alarms }: Recorded): void {
    const { metrics, clock, log, desiredReported } = this.#deps;
    const now = clock.wall();
    const newest = new Set(current.map(({ message }) => message));
    for (const { deviceId, report } of newest) desiredReported?.(deviceId, report.desired);
    for (const outcome of decision.outcomes) {
      const { verdict, message } = outcome;
      if (verdict.kind === 'new') {
        metrics.count('paddock_reports_recorded_total');
        metrics.observe('paddock_ingest_commit_seconds', Math.max(0, now - message.receivedAt) / 1000);
      } else if (verdict.kind === 'repeat') metrics.count('paddock_reports_repeated_total');
      else this.#refuse(refusedReport(message, verdict.code));
      this.#answer(outcome, decision.starts, newest.has(message));
    }
    for (const code of decision.clocks.faults) metrics.count('paddock_clock_faults_total', { code });
    for (const alarm of alarms) tell(log, alarm);
  }

  /** @param isNewest what an older report says of the inventory need not be true any more */
  #answer(outcome: Outcome, starts: Decision['starts'], isNewest: boolean): void {
    const start = starts.get(startKeyOf(outcome.message));
    const asked = outcome.message.report.ask !== undefined || outcome.verdict.kind === 'refused';
    if (start === undefined || !asked) return;
    const pace = resendPerSecond(this.#admission.fullness);
    const { deviceId, report } = outcome.message;
    const inventory = isNewest ? report.inventory : undefined;
    void this.#deps.answers.send({ ...answerTo(outcome, start), resendPerSecond: pace }, () =>
      this.#asked(deviceId, inventory, report.crashes),
    );
  }

  /** What an answer says besides, for which the database has to be asked. */
  async #asked(deviceId: string, inventory?: string, crashes: readonly string[] = []): Promise<Asked> {
    const { wantsInventory, knownCrashes } = this.#deps;
    const isWanted = inventory !== undefined && (await wantsInventory?.(deviceId, inventory));
    const known = crashes.length > 0 ? await knownCrashes?.(deviceId, crashes) : undefined;
    return { wants: isWanted ? ['inventory'] : [], ...(known && { crashes: known }) };
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
