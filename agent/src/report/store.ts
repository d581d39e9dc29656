import type { Answer } from '@paddock/shared/answer.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, Disk } from '../ports.ts';
import { openEventLog } from './event-log.ts';
import type { Log } from './log.ts';
import { emptyOutbox, hold, settle, type Held, type Outbox, type OutboxLimits, type SealedReport } from './outbox.ts';

/** The outbox of this process, with its events on the disk. */
export interface OutboxStore {
  outbox(): Outbox;
  /** Applies a change that lets no report go. */
  change(change: (outbox: Outbox) => Outbox): void;
  /** Keeps a report. An event is on the disk when this resolves, and only then seen by anyone. */
  keep(report: SealedReport, live: () => boolean): Promise<void>;
  /** Applies an answer. @returns how many reports it let go, and how many of them were refused */
  settle(answer: Answer, answered: Held, now: UptimeMs): { recorded: number; rejected: number; missing: number };
  /** Clears covered events from the disk. */
  close(): Promise<void>;
}

export async function openOutboxStore(disk: Disk, limits: OutboxLimits, log: Log, clock: Clock): Promise<OutboxStore> {
  let outbox = emptyOutbox(limits);
  const events = await openEventLog(disk, () => outbox.held.filter((entry) => entry.event), log, clock);
  for (const report of events.found) outbox = hold(outbox, report, false);
  return {
    outbox: () => outbox,
    change: (change) => void (outbox = change(outbox)),
    async keep(report, live) {
      const kept = (): void => void (outbox = hold(outbox, report, live()));
      if (!report.event) return kept();
      await events.append(report, kept);
      // Without a connection no answer ever comes to tidy up after.
      void events.tidy();
    },
    settle(answer, answered, now) {
      const settled = settle(outbox, answer, answered, now);
      outbox = settled.outbox;
      for (const { report, code } of settled.rejected) {
        log.warn({ code, start: report.start, sequence: report.sequence }, 'The cloud refused a report for good');
        if (report.event) void events.refuse(report.digest);
      }
      void events.tidy();
      return { recorded: settled.recorded.length, rejected: settled.rejected.length, missing: settled.missing.length };
    },
    close: () => events.tidy({ all: true }),
  };
}
