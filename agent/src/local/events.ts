import type { Answer } from '@paddock/shared/answer.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import type { Clock } from '../ports.ts';
import type { LocalReply } from '../ports-local.ts';
import { MAX_EVENT_DATA_BYTES } from '../report/event-data.ts';
import { codeOf, createQuiet, type Log } from '../report/log.ts';
import type { SealedReport } from '../report/sealed.ts';
import { contentIn, contentOf } from './event-content.ts';
import type { EventNotes, Outcome } from './event-notes.ts';
import { LocalError } from './problem.ts';
import { isTooDeep, type EventBody } from './shapes.ts';

/** How often it is looked whether somebody still has to wait. */
const LOOK_EVERY_MS = 100;
const LATER = { retryAfterSeconds: 1 };

/** Where events go, as the session has it. */
export interface EventsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly notes: EventNotes;
  readonly inflater: Inflate;
  /** @returns null when there are too many just now; it resolves to null when no report could be made */
  readonly report: (event: EventBody & { readonly id: string }) => Promise<SealedReport | null> | null;
  /** Of reports that no answer covers: whether it is on the disk; null when it is not held. */
  readonly isOnDisk: (digest: string) => boolean | null;
  /** Events of the kiosk's own software that no answer covers, those of earlier starts too. */
  readonly held: () => readonly SealedReport[];
  readonly isFull: () => boolean;
  /** Tries once more to have on the disk what it did not take. */
  readonly keepAgain: () => Promise<void>;
  readonly online: () => boolean;
}

/** An event that is in the outbox. */
interface Pending {
  /** Null: an earlier start took it, and its report says what it was. */
  readonly content: string | null;
  readonly report: SealedReport;
}

/** Why the answer is not there yet. */
type Why = 'offline' | 'timeout' | 'stopping';

/**
 * Events of the kiosk's own software. Each has an id that whoever posts it chooses, and is reported once however often
 * it is posted: while it waits it is known by the outbox, which has it on the disk before it is accepted, and after that
 * by the notes. The id is in the report, too, so that a kill between the two makes no second one for the cloud either.
 */
export class LocalEvents {
  readonly #parts: EventsParts;
  readonly #pending = new Map<string, Pending>();
  readonly #making = new Map<string, { readonly content: string; readonly made: Promise<void> }>();
  readonly #quiet: ReturnType<typeof createQuiet>;
  /** The newest to this start says of each of its reports whether it is recorded: it may come before the event is known. */
  #newest: Answer | null = null;
  #isStopping = false;

  constructor(parts: EventsParts) {
    this.#parts = parts;
    this.#quiet = createQuiet(parts.clock);
    for (const report of parts.held())
      // The outbox's file may still have one of which it is known already what became of it.
      if (report.eventId !== undefined && parts.notes.find(report.eventId) === undefined)
        this.#pending.set(report.eventId, { content: null, report });
  }

  /** @throws LocalError */
  async post(id: string, event: EventBody, waitMs: number, gone: AbortSignal): Promise<LocalReply> {
    checkData(event);
    const content = contentOf(event);
    const known = this.#contentUnder(id);
    if (known === undefined) await this.#make(id, event, content);
    else if (known !== null && known !== content) throw new LocalError('event_id_reused', id);
    // Whoever asks again may find that the disk is back.
    if (this.#isOnDisk(id) === false) await this.#parts.keepAgain();
    return this.follow(id, waitMs, gone);
  }

  /** What became of it, once that is known, or the time is over, or the cloud is away. @throws LocalError */
  async follow(id: string, waitMs: number, gone: AbortSignal): Promise<LocalReply> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + waitMs;
    // What is on its way to the disk is not unknown.
    await this.#making.get(id)?.made;
    let why: Why | null = null;
    while (why === null) {
      const outcome = this.#outcomeOf(id);
      if (outcome !== null) return { status: 200, body: { id, ...outcome } };
      why = this.#whyNot(until, gone);
      if (why === null) await clock.sleep(LOOK_EVERY_MS, gone);
    }
    // Nobody has promised anything: it may be sent all the same, and its id stays its own.
    if (this.#isOnDisk(id) === false) throw new LocalError('event_unkept', undefined, LATER);
    return { status: 202, body: { id, state: 'kept', why } };
  }

  /** Hears every answer that was taken. */
  answered(answer: Answer): void {
    if (!isOfEarlierStart(answer, this.#newest)) this.#newest = answer;
    for (const [id, pending] of this.#pending) {
      const outcome = this.#outcomeIn(answer, pending.report);
      if (outcome !== null) this.#settle(id, pending, outcome);
    }
  }

  /** Nothing is taken any more, and nobody is kept waiting. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Null: what it was is not known any more; undefined: nothing is under this id. */
  #contentUnder(id: string): string | null | undefined {
    const pending = this.#pending.get(id);
    if (pending !== undefined) return this.#contentOf(pending);
    return (this.#making.get(id) ?? this.#parts.notes.find(id))?.content;
  }

  #contentOf = ({ content, report }: Pending): string | null => content ?? contentIn(report, this.#parts.inflater);

  async #make(id: string, event: EventBody, content: string): Promise<void> {
    if (this.#isStopping) throw new LocalError('stopping');
    if (this.#parts.isFull()) throw new LocalError('outbox_full', undefined, LATER);
    const reported = this.#parts.report({ ...event, id });
    if (reported === null) throw new LocalError('too_many_events', undefined, LATER);
    const made = reported.then((report) => this.#keep(id, content, report)).finally(() => this.#making.delete(id));
    this.#making.set(id, { content, made });
    await made;
  }

  #keep(id: string, content: string, report: SealedReport | null): void {
    if (report === null) throw new LocalError('internal', 'no report of it could be made');
    const pending = { content, report };
    this.#pending.set(id, pending);
    const outcome = this.#newest && this.#outcomeIn(this.#newest, report);
    if (outcome !== null) this.#settle(id, pending, outcome);
  }

  /** What an answer says of a report; null when that is nothing. One that is refused for now is still held. */
  #outcomeIn(answer: Answer, { incarnation, start, sequence, digest }: SealedReport): Outcome | null {
    const rejected = answer.rejected.find((one) => one.digest === digest);
    if (rejected !== undefined && this.#parts.isOnDisk(digest) === null)
      return { state: 'rejected', code: rejected.code };
    if (answer.incarnation !== incarnation || answer.start !== start) return null;
    if (!answer.recorded.some(([first, last]) => first <= sequence && sequence <= last)) return null;
    return { state: 'recorded', ...(answer.digest === digest && { receivedAt: answer.receivedAt }) };
  }

  #outcomeOf(id: string): Outcome | null {
    const pending = this.#pending.get(id);
    if (pending !== undefined && this.#isOnDisk(id) === null) this.#settle(id, pending, { state: 'dropped' });
    const note = this.#parts.notes.find(id);
    if (note === undefined && !this.#pending.has(id)) throw new LocalError('event_unknown', id);
    return note?.outcome ?? null;
  }

  #isOnDisk(id: string): boolean | null {
    return this.#parts.isOnDisk(this.#pending.get(id)?.report.digest ?? '');
  }

  #whyNot(until: number, gone: AbortSignal): Why | null {
    if (this.#isStopping) return 'stopping';
    if (!this.#parts.online()) return 'offline';
    return gone.aborted || this.#parts.clock.monotonic() >= until ? 'timeout' : null;
  }

  #settle(id: string, pending: Pending, outcome: Outcome): void {
    const content = this.#contentOf(pending);
    this.#pending.delete(id);
    this.#parts.notes.add({ id, content, outcome }).catch((cause: unknown) => {
      const fields = { code: 'local_event_unnoted', cause: codeOf(cause) };
      this.#quiet((times) => this.#parts.log.warn({ ...fields, times }, 'What became of an event is in memory alone'));
    });
  }
}

const isOfEarlierStart = (answer: Answer, newest: Answer | null): boolean =>
  answer.incarnation === newest?.incarnation && (answer.start ?? 0) < (newest.start ?? 0);

function checkData({ data }: EventBody): void {
  if (data === undefined) return;
  if (isTooDeep(data)) throw new LocalError('request_invalid', '/data nests too deep');
  const bytes = new TextEncoder().encode(JSON.stringify(data)).length;
  if (bytes > MAX_EVENT_DATA_BYTES)
    throw new LocalError('event_data_too_large', `${bytes} bytes of ${MAX_EVENT_DATA_BYTES}`);
}
