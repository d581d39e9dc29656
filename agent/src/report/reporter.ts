import type { Report, Trigger } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';
import { asksForAnswer } from './asks.ts';
import { codeOf, type Log } from './log.ts';
import { countLostEvent } from './outbox.ts';
import type { SessionOptions, SessionParts } from './parts.ts';
import type { OutboxStore } from './store.ts';
import { nextWithinMs } from './triggers.ts';
import { createWriter, type WriterParts, type Written } from './writer.ts';

export interface Reporter {
  /**
   * Makes a report and keeps it, each in its turn; null when it could not be made. Events that come while the disk is
   * busy with others are made meanwhile, and reach it together.
   * @param happened when the event was that it tells of
   */
  report(trigger: Trigger, happened?: Moment): Promise<Written | null>;
  /** Does something when all reports before it are made and kept; what comes later waits for it. */
  hold<T>(work: () => Promise<T>): Promise<T>;
  /** An answer came that is an exchange. */
  exchanged(): void;
  /** When the last report was begun. */
  reportedAt(): UptimeMs;
  /** How many were made, or could not be. */
  tried(): number;
}

export interface ReporterEvents {
  readonly online: () => boolean;
  readonly written: (report: Written, trigger: Trigger) => void;
}

/** Makes the reports of this start. */
export async function createReporter(
  parts: SessionParts,
  options: SessionOptions,
  store: OutboxStore,
  events: ReporterEvents,
): Promise<Reporter> {
  const { clock, log, time } = parts;
  const write = await openWriter(parts, options, store);
  let exchangeAt: UptimeMs | null = null;
  let reportedAt = clock.monotonic();
  let tried = 0;
  let making: Promise<unknown> = Promise.resolve();
  let keeping: Promise<unknown> = Promise.resolve();
  const make = async (trigger: Trigger, happened?: Moment): Promise<Written> => {
    reportedAt = clock.monotonic();
    const oldAfterMs = Math.min(time.askAfterMs(), parts.outputs?.askAfterMs() ?? Infinity);
    const asks = asksForAnswer(trigger, exchangeAt, reportedAt, oldAfterMs);
    const report = await write(trigger, asks, happened);
    if (asks) exchangeAt = reportedAt;
    return report;
  };
  const failed = createFailureTeller(log, store);
  return {
    report(trigger, happened) {
      const before = keeping;
      const made = making.then(() => make(trigger, happened));
      making = made.catch(() => {});
      // What goes to the disk does so at once. Whatever else is made waits for it, to be seen in its order.
      const ready = trigger.kind === 'event' ? made : before.then(() => made);
      const kept = ready.then((report) => store.keep(report, events.online));
      const result = Promise.all([made, kept, before]).then(
        ([report]) => {
          events.written(report, trigger);
          return report;
        },
        (cause: unknown) => before.then(() => failed(trigger, cause)),
      );
      keeping = result;
      void result.then(() => void (tried += 1));
      return result;
    },
    hold(work) {
      const before = keeping;
      const held = making.then(() => before).then(work);
      making = held.catch(() => {});
      return held;
    },
    exchanged: () => void (exchangeAt = clock.monotonic()),
    reportedAt: () => reportedAt,
    tried: () => tried,
  };
}

/** Crash reports are named where an answer can say that the cloud has them. */
const pastOf =
  ({ past }: SessionParts): WriterParts['past'] =>
  (asks) => ({
    began: past?.began() ?? null,
    crashes: asks ? (past?.crashes() ?? []) : [],
    troubles: past?.troubles() ?? [],
  });

async function openWriter(
  parts: SessionParts,
  options: SessionOptions,
  store: OutboxStore,
): Promise<ReturnType<typeof createWriter>> {
  const { device, incarnation, start, agentVersion } = options;
  const origin = { device, incarnation, start, agentVersion, bootId: await parts.machine.bootId() };
  return createWriter(origin, {
    ...parts,
    readings: (at) => parts.sensors.readings(at),
    outbox: () => summaryOf(store),
    inventory: () => parts.inventory?.digest() ?? null,
    desired: () => parts.desired?.reported() ?? null,
    nextWithinMs: () => nextWithinMs(options.pace.now().gapMs, options.jitterMs),
    firmware: () => parts.firmware?.reported() ?? null,
    outputs: () => parts.outputs?.reported() ?? null,
    past: pastOf(parts),
  });
}

const createFailureTeller =
  (log: Log, store: OutboxStore) =>
  (trigger: Trigger, cause: unknown): null => {
    if (trigger.kind === 'event') store.change(countLostEvent);
    log.error({ code: codeOf(cause), trigger: trigger.kind, err: cause }, 'A report could not be made');
    return null;
  };

function summaryOf(store: OutboxStore): NonNullable<Report['outbox']> {
  const { waiting, droppedRoutine, droppedEvents } = store.outbox();
  return { waiting, droppedRoutine, droppedEvents };
}
