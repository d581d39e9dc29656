import type { Trigger } from '@paddock/shared/report.ts';
import type { Moment } from '../clock/exchange.ts';
import type { Clock } from '../ports.ts';
import { decideUrgent, EVENTS_WAITING, fullBudget, NO_CHANGES, spendEvent } from './triggers.ts';

type EventTrigger = Extract<Trigger, { kind: 'event' }>;

export interface EventQueue {
  /**
   * @param happened when it was, however long it waits here
   * @returns false when this one is dropped: so many wait already, or the queue is being flushed
   */
  add(event: EventTrigger, happened: Moment): boolean;
  /** Reports what still waits, without waiting any longer, and takes nothing more: a storm must have an end. */
  flush(): Promise<void>;
}

/** Reports events at once; a storm of them waits for its turn, in order and bounded. */
export function createEventQueue(
  clock: Clock,
  report: (event: EventTrigger, happened: Moment) => Promise<void>,
): EventQueue {
  const waiting: { readonly event: EventTrigger; readonly happened: Moment }[] = [];
  const hurry = new AbortController();
  let budget = fullBudget(clock.monotonic());
  let draining: Promise<void> | null = null;
  const drain = async (): Promise<void> => {
    for (let next = waiting[0]; next; next = waiting[0]) {
      const spent = spendEvent(budget, clock.monotonic());
      budget = spent.budget;
      if (spent.waitMs > 0 && !hurry.signal.aborted) await clock.sleep(spent.waitMs, hurry.signal);
      else {
        waiting.shift();
        await report(next.event, next.happened);
      }
    }
    draining = null;
  };
  return {
    add(event, happened) {
      if (waiting.length >= EVENTS_WAITING || hurry.signal.aborted) return false;
      waiting.push({ event, happened });
      draining ??= drain();
      return true;
    },
    async flush() {
      hurry.abort();
      await draining;
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
