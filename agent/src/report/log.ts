import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';

/** Where a feature says what happened: fields for machines, a sentence for people. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The stable code of what was thrown, for the log. */
export const codeOf = (cause: unknown): string =>
  cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'unexpected';

/** How long a thing that goes on happening is not told again. */
const QUIET_MS = 60_000;

/**
 * Tells of a thing at most once a minute, with how often it happened since: a storm must not fill the log.
 * @param tell is called with that number
 */
export function createQuiet(clock: Pick<Clock, 'monotonic'>): (tell: (times: number) => void) => void {
  let toldAt: UptimeMs | null = null;
  let times = 0;
  return (tell) => {
    times += 1;
    const now = clock.monotonic();
    if (toldAt !== null && now - toldAt < QUIET_MS) return;
    tell(times);
    toldAt = now;
    times = 0;
  };
}
