import type { Trigger } from '@paddock/shared/report.ts';
import type { Moment } from '../clock/exchange.ts';
import type { Clock } from '../ports.ts';
import { decideUrgent, fullBudget, NO_CHANGES, spendEvent } from './triggers.ts';

export type EventTrigger = Extract<Trigger, { kind: 'event' }>;

export interface EventIntake<R> {
  /**
   * Has it reported at once.
   * @param happened when it was
   * @returns null when this one is dropped: there were too many just now, or no more are taken
   */
  add(event: EventTrigger, happened: Moment): Promise<R> | null;
  /** Takes nothing more: a storm must have an end. Resolves when all that were taken are reported. */
  close(): Promise<void>;
}

/** Lets no more events in than a budget allows. None of them waits here: whatever is only in memory is lost by a kill. */
export function createEventIntake<R>(
  clock: Pick<Clock, 'monotonic'>,
  report: (event: EventTrigger, happened: Moment) => Promise<R>,
): EventIntake<R> {
  let budget = fullBudget(clock.monotonic());
  let isClosed = false;
  let last: Promise<unknown> = Promise.resolve();
  return {
    add(event, happened) {
      const left = isClosed ? null : spendEvent(budget, clock.monotonic());
      if (left === null) return null;
      budget = left;
      const reported = report(event, happened);
      last = reported;
      return reported;
    },
    async close() {
      isClosed = true;
      await last;
    },
  };
}

/** Reports changes of urgent sensors at most once an interval. @returns what hears of a change */
export function createUrgentReports(
  clock: Clock,
  intervalMs: number,
  stop: AbortSignal,
  report: (sensor: string) => void,
): (sensor: string) => void {
  let changes = NO_CHANGES;
  let waiting = false;
  const decide = (sensor: string | null): void => {
    const decision = decideUrgent(changes, sensor, clock.monotonic(), intervalMs);
    changes = decision.changes;
    if (decision.report !== null) report(decision.report);
    if (decision.waitMs === null || waiting || stop.aborted) return;
    waiting = true;
    void clock.sleep(decision.waitMs, stop).then(() => {
      waiting = false;
      if (!stop.aborted) decide(null);
    });
  };
  return decide;
}
