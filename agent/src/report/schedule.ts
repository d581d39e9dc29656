import type { Clock } from '../ports.ts';
import type { SensorSource, SessionOptions, SessionParts } from './parts.ts';
import type { Reporter } from './reporter.ts';
import { hasSettled, jitterOf, overdueAt, SETTLE_POLL_MS, SETTLE_WITHIN_MS } from './triggers.ts';

/** Cron sets the pace and the jitter spreads the fleet; a wall clock that was set back silences nobody. */
export function keepSchedule(
  { clock, scheduler }: SessionParts,
  options: SessionOptions,
  reporter: Reporter,
  stop: AbortSignal,
): () => void {
  const { device, jitterMs, scheduleGapMs } = options;
  const report = (): void => void (stop.aborted || reporter.report({ kind: 'schedule' }));
  const guard = async (): Promise<void> => {
    while (!stop.aborted) {
      const leftMs = overdueAt(reporter.reportedAt(), scheduleGapMs, jitterMs) - clock.monotonic();
      if (leftMs > 0) await clock.sleep(leftMs, stop);
      else await reporter.report({ kind: 'schedule' });
    }
  };
  void guard();
  return scheduler.schedule(options.schedule, () => void clock.sleep(jitterOf(device, jitterMs), stop).then(report));
}

/** Resolves when a first report has something to say, or when waiting for it is no use any more. */
export async function settled(clock: Clock, sensors: SensorSource, stop: AbortSignal): Promise<void> {
  const until = clock.monotonic() + SETTLE_WITHIN_MS;
  while (!stop.aborted && clock.monotonic() < until && !hasSettled(sensors.readings()))
    await clock.sleep(SETTLE_POLL_MS, stop);
}
