import { uptimeMs } from '@paddock/shared/time.ts';
import type { Clock, ServiceManager } from '../ports.ts';
import type { Log } from '../report/log.ts';
import { judge, type Verdict, type Vitals, type Watch } from './judge.ts';

/** A ping may come late or get lost, and the next ones are in time. */
const PINGS_PER_WATCHDOG = 4;
/** The status is told so often where nobody waits for a ping. */
const STATUS_EVERY_MS = 15_000;

export interface WatchdogParts {
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
  readonly manager: ServiceManager;
  readonly log: Log;
  readonly vitals: () => Vitals;
  /** How the agent does, in a line for people. */
  readonly status: () => string;
}

/**
 * Tells the service manager how the agent does, until the signal aborts, and that it is well only while it is. Who is
 * not told that any more ends the agent and starts it again.
 */
export async function keepWatch(parts: WatchdogParts, signal: AbortSignal): Promise<void> {
  const { clock, manager, log, vitals, status } = parts;
  const everyMs = manager.watchdogMs === null ? STATUS_EVERY_MS : manager.watchdogMs / PINGS_PER_WATCHDOG;
  let watch: Watch = {};
  let dueAt = clock.monotonic();
  let told = '';
  while (!signal.aborted) {
    const { watch: next, verdict } = judge(watch, { now: clock.monotonic(), dueAt, lateMs: everyMs, vitals: vitals() });
    watch = next;
    const words = wordsOf(verdict, status());
    if (verdict.kind === 'well') manager.tell({ STATUS: words, WATCHDOG: '1' });
    else {
      manager.tell({ STATUS: words });
      if (told !== nameOf(verdict)) log.error({ ...verdict, code: `watchdog_${verdict.kind}` }, words);
    }
    told = nameOf(verdict);
    dueAt = uptimeMs(clock.monotonic() + everyMs);
    await clock.sleep(everyMs, signal);
  }
}

const nameOf = (verdict: Verdict): string => (verdict.kind === 'stalled' ? verdict.part : verdict.kind);

function wordsOf(verdict: Verdict, status: string): string {
  if (verdict.kind === 'well') return status;
  const seconds = Math.round(verdict.ms / 1000);
  return verdict.kind === 'late'
    ? `The event loop came ${seconds} s late: the watchdog is not told that all is well`
    : `No progress of ${verdict.part} for ${seconds} s: the watchdog is not told that all is well`;
}
