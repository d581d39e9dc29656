import type { Clock } from '../ports.ts';
import type { SensorSource, SessionOptions, SessionParts } from './parts.ts';
import type { Reporter } from './reporter.ts';
import { hasSettled, jitterOf, overdueAt, SETTLE_POLL_MS, SETTLE_WITHIN_MS } from './triggers.ts';

/** Cron sets the pace and the jitter spreads the fleet; a wall clock that was set back silences nobody. */
export function keepSchedule(
  { clock, scheduler }: SessionParts,
  { device, jitterMs, pace }: SessionOptions,
  reporter: Reporter,
  stop: AbortSignal,
): () => void {
  let changed = new AbortController();
  const begin = (): (() => void) =>
    scheduler.schedule(pace.now().cron, () => void clock.sleep(jitterOf(device, jitterMs), stop).then(report));
  const report = (): void => void (stop.aborted || reporter.report({ kind: 'schedule' }));
  const guard = async (): Promise<void> => {
    while (!stop.aborted) {
      const { signal } = changed;
      const leftMs = overdueAt(reporter.reportedAt(), pace.now().gapMs, jitterMs) - clock.monotonic();
      if (leftMs > 0) await clock.sleep(leftMs, AbortSignal.any([stop, signal]));
      else {
        // Cron waits for a moment of a wall clock that is another one now, for years perhaps.
        end();
        end = begin();
        await reporter.report({ kind: 'schedule' });
      }
    }
  };
  let end = begin();
  const forget = pace.onChange(() => {
    end();
    end = begin();
    changed.abort();
    changed = new AbortController();
  });
  void guard();
  return () => {
    forget();
    end();
  };
}

/** Resolves when a first report has something to say, or when waiting for it is no use any more. */
export async function settled(clock: Clock, sensors: SensorSource, stop: AbortSignal): Promise<void> {
  const until = clock.monotonic() + SETTLE_WITHIN_MS;
  while (!stop.aborted && clock.monotonic() < until && !hasSettled(sensors.settling?.() ?? sensors.readings()))
    await clock.sleep(SETTLE_POLL_MS, stop);
}
