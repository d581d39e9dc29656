import type { Answer } from '@paddock/shared/answer.ts';
import { fromInstant, type UptimeMs, type WallMs } from '@paddock/shared/time.ts';
import type { Clock, Disk } from '../ports.ts';
import type { Log } from './log.ts';
import { openOutboxLog, type OutboxLog } from './outbox-log.ts';
import { Outbox, type OutboxLimits } from './outbox.ts';
import type { Held, SealedReport } from './sealed.ts';
import { isAwayAtTheEnd, isSpillDue, type Absence } from './spill.ts';
import { inOrderOfStarts, type StartName } from './start-book.ts';

/** What the cloud asks for unless it says otherwise. */
const RESEND_PER_SECOND = 20;
/** So long after the first answer it is worth a write that old reports are still there. */
const MARK_AFTER_MS = 10 * 60_000;

/** The outbox of this process, with what of it is on the disk. */
export interface OutboxStore {
  outbox(): Outbox;
  /** Applies a change that lets no report go. */
  change(change: (outbox: Outbox) => void): void;
  /** Keeps a report. An event is on the disk when this resolves, and only then seen by anyone. */
  keep(report: SealedReport, live: () => boolean): Promise<void>;
  /** Tries once more to have the events on the disk that it did not take. */
  keepAgain(): Promise<void>;
  /** Applies an answer. @returns how many reports it let go, and how many of them were refused */
  settle(answer: Answer, answered: Held, now: UptimeMs): { recorded: number; rejected: number; missing: number };
  /** The connection is gone. */
  disconnected(): void;
  /** How long to wait between two reports that are sent again, in ms. */
  pauseMs(): number;
  /** Clears the disk of what is covered, or writes there what is not when the cloud is away. */
  close(online: boolean): Promise<void>;
}

export interface StoreOptions extends Pick<SealedReport, 'incarnation' | 'start'> {
  readonly device: string;
  readonly outbox: OutboxLimits;
}

export async function openOutboxStore(disk: Disk, options: StoreOptions, log: Log, clock: Clock): Promise<OutboxStore> {
  const limits = options.outbox;
  const outbox = new Outbox(limits, options);
  const { file, found } = await openOutboxLog({ disk, clock, log, device: options.device, outbox });
  for (const { start, since } of found.known) outbox.known(start, since);
  for (const report of inOrderOfStarts(found.reports)) outbox.hold(report, { live: false, onDisk: true, heldAt: null });
  void file.tidy();
  const keepEvent = createEventKeeper(outbox, file, log);
  const spill = createSpill(outbox, file, options, log);
  const marker = createMarker(outbox, file);
  let absence: Absence = { since: clock.monotonic(), spilledAt: null };
  let pauseMs = 1000 / RESEND_PER_SECOND;
  const away = (): void => void (absence = { ...absence, since: absence.since ?? clock.monotonic() });
  const refuse = (report: Held, code: string): void => {
    log.warn({ code, start: report.start, sequence: report.sequence }, 'The cloud refused a report for good');
    if (report.event || report.onDisk) void file.refuse(report.digest);
  };
  return {
    outbox: () => outbox,
    change: (change) => change(outbox),
    async keep(report, live) {
      if (report.nonce !== null) away();
      const heldAt = clock.monotonic();
      const hold = (onDisk: boolean): void => outbox.hold(report, { live: live(), onDisk, heldAt });
      if (report.event) await keepEvent(report, hold);
      else hold(false);
      if (isSpillDue(absence, outbox.loose, limits.routineReports, heldAt)) {
        absence = { ...absence, spilledAt: heldAt };
        void spill();
      }
      // Without a connection no answer ever comes to tidy up after.
      void file.tidy();
    },
    keepAgain: () =>
      file.append(
        () => outbox.unwritten(false),
        (written) => outbox.written(written ?? []),
      ),
    settle(answer, answered, now) {
      absence = { since: null, spilledAt: null };
      pauseMs = 1000 / (answer.resendPerSecond ?? RESEND_PER_SECOND);
      const settled = outbox.settle(answer, answered, now);
      for (const { report, code } of settled.rejected) refuse(report, code);
      if (answer.nonce !== undefined) marker(fromInstant(answer.sentAt), now);
      void file.tidy();
      return { recorded: settled.recorded.length, rejected: settled.rejected.length, missing: settled.missing.length };
    },
    disconnected() {
      away();
      outbox.disconnected();
    },
    pauseMs: () => pauseMs,
    async close(online) {
      const isAway = isAwayAtTheEnd(absence, online, clock.monotonic());
      if (isAway && outbox.loose > 0) await spill();
      await file.tidy({ all: !isAway });
    },
  };
}

interface EventToKeep {
  readonly report: SealedReport;
  readonly hold: (onDisk: boolean) => void;
}

/**
 * Writes an event, and what the disk did not take before, and holds it then. Those that come while the disk is busy
 * are written together: in a storm one sync has to do for many.
 */
function createEventKeeper(outbox: Outbox, file: OutboxLog, log: Log) {
  let gathered: EventToKeep[] = [];
  const take = (): EventToKeep[] => {
    const taken = gathered;
    gathered = [];
    return taken;
  };
  return (report: SealedReport, hold: (onDisk: boolean) => void): Promise<void> => {
    gathered.push({ report, hold });
    let taken: EventToKeep[] | null = null;
    return file.append(
      () => {
        taken = take();
        return [...outbox.unwritten(false), ...taken.map((event) => event.report)];
      },
      (written) => {
        if (written !== null) outbox.written(written);
        // A disk that hangs is not even asked.
        for (const event of taken ?? take()) {
          const { start, sequence } = event.report;
          // Whoever reads the log may count on it: from here on no kill and no power cut loses the event.
          if (written !== null) log.debug({ code: 'event_kept', start, sequence }, 'An event is on the disk');
          event.hold(written !== null);
        }
      },
    );
  };
}

/**
 * Writes what only memory holds. A report of this start that asks has to stand in the file, or nothing could ever
 * tell a later start of the agent that the others are recorded.
 */
function createSpill(outbox: Outbox, file: OutboxLog, own: StartName, log: Log): () => Promise<void> {
  const pick = (): readonly SealedReport[] => {
    const reports = outbox.unwritten(true);
    const asker = outbox.ownAsker();
    const isMute = !file.asks(own) && !reports.some(({ nonce }) => nonce !== null);
    return asker !== null && isMute && reports.length > 0 ? [asker, ...reports] : reports;
  };
  return () =>
    file.append(pick, (written) => {
      if (written === null || written.length === 0) return;
      outbox.written(written);
      const sequences = written.flatMap(({ event, sequence }) => (event ? [] : [sequence]));
      // As with an event, the log may be counted on.
      log.debug(
        { code: 'routine_kept', start: own.start, sequences },
        'Routine reports are on the disk: nobody answers',
      );
    });
}

/** Hears what time it is. Writes down since when old reports are known of, when they stay. */
function createMarker(outbox: Outbox, file: OutboxLog): (trusted: WallMs, now: UptimeMs) => void {
  let firstAt: UptimeMs | null = null;
  return (trusted, now) => {
    outbox.trust(trusted, now);
    firstAt ??= now;
    if (now - firstAt < MARK_AFTER_MS) return;
    const unmarked = outbox.aged().filter(({ isMarked }) => !isMarked);
    for (const book of unmarked) book.isMarked = true;
    if (unmarked.length > 0) void file.mark(unmarked);
  };
}
