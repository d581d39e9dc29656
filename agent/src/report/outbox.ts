import type { Answer } from '@paddock/shared/answer.ts';
import { REFUSALS } from '@paddock/shared/errors.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import { againAt, missingAt, retryAt } from './resend.ts';

/** A sealed report, and what an answer to it is recognised by. */
export interface SealedReport {
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
  readonly digest: string;
  readonly envelope: string;
  /** The nonce of its ask; null when it asks for no answer. */
  readonly nonce: string | null;
  /** Tells of an event: kept on the disk, and the last to be dropped. */
  readonly event: boolean;
}

/** A moment of this boot: its uptime, and the clock segment that it lies in. */
export interface Moment {
  readonly at: UptimeMs;
  readonly segment: number;
}

/** A report that no signed answer covers yet. */
export interface Held extends SealedReport {
  /** Made in this connection and not sent yet: goes before what is sent again. */
  readonly live: boolean;
  /** Its place among what was sent in this connection; null when it was not. */
  readonly order: number | null;
  /** Sent in this connection after an earlier one, or after an answer that showed it missing. */
  readonly again: boolean;
  readonly attempts: number;
  readonly sentAt: UptimeMs | null;
  /** When this process handed it to the link for the first time, whatever became of it: no copy left earlier. */
  readonly firstSent: Moment | null;
  /** When to send it next; null waits for an answer, or for the next connection. */
  readonly dueAt: UptimeMs | null;
}

export interface OutboxLimits {
  /** Routine reports in memory. */
  readonly routineReports: number;
  /** Envelopes of events, in bytes. */
  readonly eventBytes: number;
}

/** What is kept until a signed answer covers it, oldest first. */
export interface Outbox {
  readonly limits: OutboxLimits;
  readonly held: readonly Held[];
  /** Sends of this connection so far. */
  readonly sends: number;
  readonly droppedRoutine: number;
  readonly droppedEvents: number;
}

export interface Settled {
  readonly outbox: Outbox;
  readonly recorded: readonly Held[];
  readonly rejected: readonly { readonly report: Held; readonly code: string }[];
  readonly missing: readonly Held[];
}

const NOW = uptimeMs(0);

export function emptyOutbox(limits: OutboxLimits): Outbox {
  return { limits, held: [], sends: 0, droppedRoutine: 0, droppedEvents: 0 };
}

/** Takes a report in; drops the oldest of its kind where its kind's bound is passed. */
export function hold(outbox: Outbox, report: SealedReport, live: boolean): Outbox {
  const entry: Held = {
    ...report,
    live,
    order: null,
    again: false,
    attempts: 0,
    sentAt: null,
    firstSent: null,
    dueAt: NOW,
  };
  return bounded({ ...outbox, held: [...outbox.held, entry] });
}

/** An event that could not even be kept. */
export const countLostEvent = (outbox: Outbox): Outbox => ({ ...outbox, droppedEvents: outbox.droppedEvents + 1 });

/**
 * What to send now. What is new goes first, in its order; what has to be sent again waits until the connection was
 * opened by a report that asks, because its answer says what the cloud has already.
 */
export function nextToSend(outbox: Outbox, opened: boolean, now: UptimeMs): Held | null {
  const live = outbox.held.find((entry) => entry.live);
  if (live || !opened) return live ?? null;
  return outbox.held.find((entry) => entry.dueAt !== null && entry.dueAt <= now) ?? null;
}

/** When {@link nextToSend} will next have something to say; null when only an answer or a report changes that. */
export function nextDueAt(outbox: Outbox): UptimeMs | null {
  return outbox.held.reduce<UptimeMs | null>(
    (soonest, { dueAt }) => (dueAt !== null && (soonest === null || dueAt < soonest) ? dueAt : soonest),
    null,
  );
}

/** Handed to the link. One that asks is sent again when no answer comes; one that does not waits for another's. */
export function sent(outbox: Outbox, digest: string, now: UptimeMs, segment = 0): Outbox {
  const held = changed(outbox, digest, (entry) => {
    const attempts = entry.attempts + 1;
    const dueAt = entry.nonce === null ? null : againAt(now, attempts);
    const firstSent = entry.firstSent ?? { at: now, segment };
    return { ...entry, live: false, again: !entry.live, order: outbox.sends, attempts, sentAt: now, firstSent, dueAt };
  });
  return { ...outbox, held, sends: outbox.sends + 1 };
}

/** The link did not get it to the broker. */
export function notSent(outbox: Outbox, digest: string, now: UptimeMs): Outbox {
  const held = changed(outbox, digest, (entry) => ({ ...entry, order: null, again: false, dueAt: retryAt(now) }));
  return { ...outbox, held };
}

/** Sessions are clean: what was on its way may be lost, so all of it is due in the next connection. */
export function disconnected(outbox: Outbox): Outbox {
  const held = outbox.held.map((entry) => ({ ...entry, live: false, order: null, again: false, dueAt: NOW }));
  return { ...outbox, held, sends: 0 };
}

/** The report that opens the connection goes first, although it was made before. */
export const opensConnection = (outbox: Outbox, digest: string): Outbox => ({
  ...outbox,
  held: changed(outbox, digest, (entry) => ({ ...entry, live: true })),
});

/** Whether routine reports of this start were sent again after the last one that asks: nothing would cover them. */
export function endsBatchUnasked(outbox: Outbox, start: Pick<SealedReport, 'incarnation' | 'start'>): boolean {
  const ours = outbox.held.filter((entry) => isOf(entry, start) && entry.order !== null);
  const last = (entries: readonly Held[]): number => Math.max(-1, ...entries.map((entry) => entry.order ?? -1));
  return last(ours.filter((entry) => entry.again)) > last(ours.filter((entry) => entry.nonce !== null));
}

/**
 * Takes an answer that was verified and belongs to `answered`. Recorded and rejected reports are let go; what was
 * sent before the answered report and is not recorded is missing. What was sent after it may still be on its way.
 * An answer speaks of one start only; but where one came, the answer to an earlier ask of another start is overdue.
 */
export function settle(outbox: Outbox, answer: Answer, answered: Held, now: UptimeMs): Settled {
  const code = rejections(answer);
  const rejected = outbox.held.flatMap((report) => {
    const why = code.get(report.digest);
    return why === undefined ? [] : [{ report, code: why }];
  });
  const refused = new Set(rejected.map(({ report }) => report));
  const recorded = outbox.held.filter((entry) => !refused.has(entry) && isRecorded(entry, answer));
  const gone = new Set([...recorded, ...refused]);
  const missing = outbox.held.filter((entry) => !gone.has(entry) && isMissing(entry, answer, answered));
  const lost = new Set(missing);
  const held = outbox.held
    .filter((entry) => !gone.has(entry))
    .map((entry) =>
      lost.has(entry) ? { ...entry, order: null, dueAt: missingAt(entry.sentAt ?? now, entry.attempts) } : entry,
    );
  return { outbox: { ...outbox, held }, recorded, rejected, missing };
}

/** Only what can never be recorded is let go: a code that we know to be passing keeps its report. */
function rejections(answer: Answer): Map<string, string> {
  const passing = (code: string): boolean =>
    Object.entries(REFUSALS).some(([known, { permanent }]) => known === code && !permanent);
  return new Map(answer.rejected.filter(({ code }) => !passing(code)).map(({ digest, code }) => [digest, code]));
}

const isRecorded = (entry: Held, answer: Answer): boolean =>
  isOf(entry, answer) && answer.recorded.some(([first, last]) => first <= entry.sequence && entry.sequence <= last);

function isMissing(entry: Held, answer: Answer, answered: Held): boolean {
  const isEarlier = entry.order !== null && answered.order !== null && entry.order < answered.order;
  return isEarlier && (isOf(entry, answer) || entry.nonce !== null);
}

const isOf = (entry: SealedReport, start: { incarnation: string | null; start: number | null }): boolean =>
  entry.incarnation === start.incarnation && entry.start === start.start;

function changed(outbox: Outbox, digest: string, change: (entry: Held) => Held): readonly Held[] {
  return outbox.held.map((entry) => (entry.digest === digest ? change(entry) : entry));
}

function bounded(outbox: Outbox): Outbox {
  const excess = excessOf(outbox);
  if (excess.size === 0) return outbox;
  const events = [...excess].filter((entry) => entry.event).length;
  return {
    ...outbox,
    held: outbox.held.filter((entry) => !excess.has(entry)),
    droppedRoutine: outbox.droppedRoutine + excess.size - events,
    droppedEvents: outbox.droppedEvents + events,
  };
}

/** Counted from the newest: what no longer fits is the oldest. */
function excessOf({ held, limits }: Outbox): Set<Held> {
  const excess = new Set<Held>();
  let routine = 0;
  let bytes = 0;
  for (const entry of held.toReversed()) {
    if (entry.event) bytes += entry.envelope.length;
    else routine += 1;
    if (entry.event ? bytes > limits.eventBytes : routine > limits.routineReports) excess.add(entry);
  }
  return excess;
}
