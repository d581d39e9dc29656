import type { Answer } from '@paddock/shared/answer.ts';
import { MAX_ENVELOPE_BYTES } from '@paddock/shared/envelope.ts';
import { REFUSALS } from '@paddock/shared/errors.ts';
import { uptimeMs, type UptimeMs, type WallMs } from '@paddock/shared/time.ts';
import { DueQueue } from './due-queue.ts';
import { Kept } from './kept.ts';
import { againAt, missingAt, retryAt } from './resend.ts';
import type { Held, SealedReport } from './sealed.ts';
import { startKey, type StartBook, type StartName } from './start-book.ts';
import { BATCH, StartBooks } from './start-books.ts';

export interface OutboxLimits {
  /** Routine reports that are in memory only. */
  readonly routineReports: number;
  /** Envelopes on the disk, in bytes. */
  readonly diskBytes: number;
  /** After this time a report is let go, answered or not. */
  readonly maxAgeMs: number;
}

export interface Settled {
  readonly recorded: readonly Held[];
  readonly rejected: readonly { readonly report: Held; readonly code: string }[];
  readonly missing: readonly Held[];
}

const NOW = uptimeMs(0);

/**
 * What is kept until a signed answer covers it, oldest first, each report once by its digest. Every report costs the
 * same however many are held. It belongs to the book of its start, and to exactly one of three queues by which it may
 * be dropped: routine in memory only, routine on the disk, events.
 */
export class Outbox {
  droppedRoutine = 0;
  droppedEvents = 0;
  readonly #limits: OutboxLimits;
  readonly #books: StartBooks;
  readonly #entries = new Map<string, Held>();
  /** Covered, and sent again for their ask alone. */
  readonly #askers = new Map<string, Held>();
  readonly #kept = new Kept();
  readonly #live = new Set<string>();
  /** Sent in this connection and not covered, in the order of sending. */
  readonly #onTheWay = new Set<string>();
  readonly #due = new DueQueue((due) => this.find(due.digest)?.dueAt === due.dueAt);
  #places = 0;
  #sends = 0;

  /** @param own the start whose reports are made here: a new one that asks can cover them */
  constructor(limits: OutboxLimits, own: StartName) {
    this.#limits = limits;
    this.#books = new StartBooks(own);
  }

  /** How many reports no answer covers. */
  get waiting(): number {
    return this.#entries.size;
  }

  /** Oldest first. For people and tests: as long as the outbox. */
  get held(): readonly Held[] {
    return [...this.#entries.values()];
  }

  find = (digest: string): Held | undefined => this.#entries.get(digest) ?? this.#askers.get(digest);

  /** Takes a report in; drops the oldest where a bound is passed. @param heldAt null when an earlier start made it */
  hold(report: SealedReport, { live, onDisk, heldAt }: Pick<Held, 'live' | 'onDisk' | 'heldAt'>): void {
    if (this.#entries.has(report.digest)) return;
    const unsent = { order: null, attempts: 0, sentAt: null, firstSent: null, dueAt: NOW };
    const entry: Held = { ...report, ...unsent, place: this.#places++, live, onDisk, heldAt };
    const book = this.#books.of(report);
    book.add(report);
    if (report.nonce !== null) book.asker = report;
    this.#kept.add(entry);
    if (live) this.#live.add(report.digest);
    this.#put(entry);
    this.#bound(heldAt);
  }

  /** An event that could not even be kept. */
  loseEvent(): void {
    this.droppedEvents += 1;
  }

  /** The report that was made last. */
  newest(): Held | undefined {
    return this.#entries.get(this.#books.own.last ?? '');
  }

  hasLive = (): boolean => this.#live.size > 0;

  /**
   * What to send now. What is new goes first, in its order; what has to be sent again waits until the connection was
   * opened by a report that asks, because its answer says what the cloud has already. Oldest first then; what was
   * sent of an earlier start is followed by a report of it that asks.
   */
  next(opened: boolean, now: UptimeMs): Held | null {
    for (const digest of this.#live) return this.find(digest) ?? null;
    if (!opened) return null;
    const digest = this.#due.first(now);
    const due = digest === null ? undefined : this.find(digest);
    return this.#endOfBatch(due) ?? due ?? null;
  }

  /** When {@link next} will next have something to say; null when only an answer or a report changes that. */
  nextDueAt = (): UptimeMs | null => this.#due.nextAt();

  /** Whether reports of this start were sent that nothing will cover soon: a report that asks is needed. */
  endsBatchUnasked(next: Held | null): boolean {
    const { own } = this.#books;
    const { unasked, unaskedAgain } = own;
    if (unaskedAgain > 0 && (next === null || startKey(next) !== startKey(own))) return true;
    return unaskedAgain >= BATCH || unasked >= Math.min(2 * BATCH, this.#limits.routineReports / 2);
  }

  /** Handed to the link. One that asks is sent again when no answer comes; one that does not waits for another's. */
  sent(digest: string, now: UptimeMs, segment = 0): void {
    const entry = this.find(digest);
    if (!entry) return;
    const attempts = entry.attempts + 1;
    const dueAt = entry.nonce === null ? null : againAt(now, attempts);
    const firstSent = entry.firstSent ?? { at: now, segment };
    this.#books.sent(entry);
    this.#live.delete(digest);
    this.#onTheWay.delete(digest);
    if (!this.#books.isOrphan(entry)) this.#onTheWay.add(digest);
    this.#put({ ...entry, live: false, order: this.#sends++, attempts, sentAt: now, firstSent, dueAt });
  }

  /** The link did not get it to the broker. @param isUntouched the link did not even take it */
  notSent(digest: string, now: UptimeMs, isUntouched = false): void {
    const entry = this.find(digest);
    this.#onTheWay.delete(digest);
    if (!entry) return;
    const firstSent = isUntouched && entry.firstSent?.at === entry.sentAt ? null : entry.firstSent;
    this.#put({ ...entry, order: null, firstSent, dueAt: retryAt(now) });
  }

  /** Sessions are clean: what was on its way may be lost, so all of it is due in the next connection. */
  disconnected(): void {
    this.#live.clear();
    this.#onTheWay.clear();
    this.#askers.clear();
    this.#books.disconnected();
    this.#sends = 0;
    for (const [digest, entry] of this.#entries)
      this.#entries.set(digest, { ...entry, live: false, order: null, dueAt: this.#dueAfterBreak(entry) });
    this.#due.restart(this.held.flatMap(({ digest, place, dueAt }) => (dueAt === NOW ? { digest, place, dueAt } : [])));
    for (const { digest, place, dueAt } of this.#entries.values())
      if (dueAt !== null && dueAt !== NOW) this.#due.add({ digest, place, dueAt });
  }

  /** The report that opens the connection goes first, although it was made before. */
  opensConnection(digest: string): void {
    const entry = this.#entries.get(digest);
    if (!entry) return;
    this.#live.add(digest);
    this.#put({ ...entry, live: true });
  }

  /**
   * Takes an answer that was verified and belongs to `answered`. Recorded and rejected reports are let go; what was
   * sent before the answered report and is not recorded is missing. What was sent after it may still be on its way.
   * An answer speaks of one start only; but where one came, the answer to an earlier ask of another start is overdue.
   */
  settle(answer: Answer, answered: Held, now: UptimeMs): Settled {
    const { incarnation, start } = answer;
    const book = incarnation === null || start === null ? null : this.#books.find({ incarnation, start });
    const rejected = this.#takeRejected(answer);
    const recorded = book ? this.#takeRecorded(book, answer) : [];
    const missing = this.#findMissing(answered, book, now);
    const asker = this.#askers.get(answered.digest);
    if (asker) this.#put({ ...asker, dueAt: null });
    if (book === null) this.#replaceAsker(answered);
    this.#forgetEmpty();
    return { recorded, rejected, missing };
  }

  /**
   * An answer told what time it is. Reports of earlier starts are at least as old as the first such moment that an
   * agent knew of them: what has been held for too long since is let go, but not before it was sent once.
   */
  trust(told: WallMs, at: UptimeMs): void {
    for (const book of this.#books.earlier()) {
      if (book.ageMs(told, at) <= this.#limits.maxAgeMs) continue;
      for (const digest of book.digests()) if ((this.#entries.get(digest)?.attempts ?? 0) > 0) this.#drop(digest);
    }
    this.#forgetEmpty();
  }

  /** What an earlier agent wrote down of the age of a start's reports. */
  known(start: StartName, since: WallMs): void {
    const book = this.#books.of(start);
    book.since = since;
    book.isMarked = true;
  }

  /** Earlier starts of which something is held and whose age is known. */
  aged(): readonly StartBook[] {
    return this.#books.earlier().filter((book) => book.since !== null && book.size > 0);
  }

  /** How many routine reports only memory holds. */
  get loose(): number {
    return this.#kept.loose.size;
  }

  /** What the disk lacks: events always, routine reports if wanted, oldest first. */
  unwritten(routine: boolean): SealedReport[] {
    const { owed, loose } = this.#kept;
    const digests = routine ? [...owed, ...loose] : [...owed];
    return digests.flatMap((digest) => this.#entries.get(digest) ?? []).toSorted((a, b) => a.place - b.place);
  }

  /** These are on the disk now. */
  written(reports: readonly SealedReport[]): void {
    for (const { digest } of reports) {
      const entry = this.#entries.get(digest);
      if (!entry || entry.onDisk) continue;
      this.#entries.set(digest, { ...entry, onDisk: true });
      this.#kept.written(entry);
    }
    this.#bound(null);
  }

  /** The newest report of this start that asks, covered or not. */
  ownAsker = (): SealedReport | null => this.#books.own.asker;

  /**
   * What a file has to hold, oldest first. Of every start one report that asks, be it covered: without it a later
   * start of the agent could not learn what of it is recorded.
   */
  toKeep(): SealedReport[] {
    const kept = this.held.filter(({ event, onDisk }) => event || onDisk);
    const asked = new Set(kept.filter(({ nonce }) => nonce !== null).map(startKey));
    const mute = kept.filter((report, n) => !asked.has(startKey(report)) && !isSameStart(report, kept[n - 1]));
    return [...mute.flatMap((name) => this.#books.find(name)?.asker ?? []), ...kept];
  }

  /** Whether another event could only be held by dropping an older one. */
  get isFullOfEvents(): boolean {
    const { diskBytes } = this.#limits;
    return this.#kept.eventBytes > diskBytes - Math.min(MAX_ENVELOPE_BYTES, diskBytes / 4);
  }

  /** Envelopes of what is on the disk, or should be, and how many they are. */
  get onDisk(): { readonly reports: number; readonly bytes: number } {
    return this.#kept.onDisk;
  }

  #put(entry: Held): void {
    (this.#askers.has(entry.digest) ? this.#askers : this.#entries).set(entry.digest, entry);
    const { digest, place, dueAt } = entry;
    if (dueAt !== null) this.#due.add({ digest, place, dueAt });
  }

  /** Nothing is known about an orphan that was sent: a connection that flaps must not repeat it without end. */
  #dueAfterBreak = (entry: Held): UptimeMs =>
    entry.sentAt !== null && this.#books.isOrphan(entry) ? againAt(entry.sentAt, entry.attempts) : NOW;

  /** The report that asks about what was sent of an earlier start, when enough was or another start is next. */
  #endOfBatch(next: Held | undefined): Held | null {
    const asker = this.#books.endedBatch(next)?.asker ?? null;
    return asker && this.#askAgain(asker);
  }

  #askAgain(asker: SealedReport): Held {
    const known = this.find(asker.digest);
    if (known) return known;
    const unsent = { live: false, order: null, attempts: 0, sentAt: null, firstSent: null, dueAt: null };
    const entry: Held = { ...asker, ...unsent, place: this.#places++, heldAt: null, onDisk: true };
    this.#askers.set(asker.digest, entry);
    return entry;
  }

  /** The answer says nothing about the start, so another report has to ask about it. */
  #replaceAsker({ digest, ...start }: Held): void {
    const book = this.#books.find(start);
    if (book?.asker?.digest !== digest) return;
    this.#askers.delete(digest);
    const others = book.digests().flatMap((other) => this.#entries.get(other) ?? []);
    book.asker = others.findLast((other) => other.nonce !== null && other.digest !== digest) ?? null;
  }

  #takeRejected(answer: Answer): { report: Held; code: string }[] {
    return answer.rejected.flatMap(({ digest, code }) => {
      const report = this.#entries.get(digest);
      if (!report || isPassing(code)) return [];
      this.#remove(report);
      return [{ report, code }];
    });
  }

  #takeRecorded(book: StartBook, answer: Answer): Held[] {
    const digests = answer.recorded.flatMap(([first, last]) => book.takeOut(first, last));
    const recorded = digests.flatMap((digest) => this.#entries.get(digest) ?? []);
    for (const report of recorded) this.#remove(report);
    return recorded;
  }

  #findMissing(answered: Held, book: StartBook | null, now: UptimeMs): Held[] {
    const missing: Held[] = [];
    for (const digest of this.#onTheWay) {
      const entry = this.find(digest);
      if (!entry) continue;
      if ((entry.order ?? Infinity) >= (answered.order ?? -1)) break;
      const isOfStart = book !== null && startKey(entry) === startKey(book);
      if (entry.digest !== answered.digest && (isOfStart || entry.nonce !== null)) missing.push(entry);
    }
    for (const entry of missing) {
      this.#onTheWay.delete(entry.digest);
      this.#put({ ...entry, order: null, dueAt: missingAt(entry.sentAt ?? now, entry.attempts) });
    }
    return missing;
  }

  #remove(entry: Held): void {
    const { digest } = entry;
    this.#entries.delete(digest);
    this.#live.delete(digest);
    this.#onTheWay.delete(digest);
    this.#kept.remove(entry);
    this.#books.of(entry).remove(entry);
  }

  #forgetEmpty(): void {
    for (const { asker } of this.#books.forgetEmpty()) {
      this.#askers.delete(asker?.digest ?? '');
      this.#onTheWay.delete(asker?.digest ?? '');
    }
  }

  #drop(digest: string): void {
    const entry = this.#entries.get(digest);
    if (!entry) return;
    this.#remove(entry);
    if (entry.event) this.droppedEvents += 1;
    else this.droppedRoutine += 1;
  }

  #bound(now: UptimeMs | null): void {
    const { routineReports, diskBytes, maxAgeMs } = this.#limits;
    const { loose, filed, events } = this.#kept;
    const { own } = this.#books;
    if (loose.size > routineReports) this.#dropOldest(loose);
    while (this.onDisk.bytes > diskBytes && (this.#dropOldest(filed) || this.#dropOldest(events)));
    for (let first = own.first; now !== null && first !== undefined; first = own.first) {
      const heldAt = this.#entries.get(first)?.heldAt ?? null;
      if (heldAt === null || now - heldAt <= maxAgeMs) return;
      this.#drop(first);
    }
  }

  /** @returns false when there is nothing to drop */
  #dropOldest(queue: ReadonlySet<string>): boolean {
    for (const digest of queue) {
      const entry = this.#entries.get(digest);
      if (!entry || this.#books.isNeededToAsk(entry)) continue;
      this.#drop(digest);
      this.#forgetEmpty();
      return true;
    }
    return false;
  }
}

/** An event that could not even be kept. */
export const countLostEvent = (outbox: Outbox): void => outbox.loseEvent();

/** Only what can never be recorded is let go: a code that we know to be passing keeps its report. */
const isPassing = (code: string): boolean =>
  Object.entries(REFUSALS).some(([known, { permanent }]) => known === code && !permanent);

const isSameStart = (a: StartName, b: StartName | undefined): boolean => b !== undefined && startKey(a) === startKey(b);
