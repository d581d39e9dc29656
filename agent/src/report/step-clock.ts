import { toInstant } from '@paddock/shared/time.ts';
import { skewOf, stepTo } from '../clock/skew.ts';
import { isKnown, type TrustedInterval } from '../clock/trusted-time.ts';
import type { Clock, WallClock } from '../ports.ts';
import { codeOf, createQuiet, type Log } from './log.ts';

export interface StepperParts {
  readonly clock: Pick<Clock, 'wall' | 'monotonic'>;
  readonly log: Log;
  /** Null unless the configuration allows to set it. */
  readonly wallClock: WallClock | null;
}

/**
 * Sets the system clock where that is configured and the clock is certainly wrong.
 * @param stepOverMs by how much, in ms
 * @returns what is told trusted time after each exchange
 */
export function createClockStepper(
  { clock, log, wallClock }: StepperParts,
  stepOverMs: number,
): (now: TrustedInterval) => void {
  const quiet = createQuiet(clock);
  return (now) => {
    if (wallClock === null || !isKnown(now)) return;
    const wall = clock.wall();
    const to = stepTo(wall, now, stepOverMs);
    if (to === null) return;
    const told = { wall: toInstant(wall), to: toInstant(to), skewMs: skewOf(wall, now) };
    try {
      wallClock.set(to);
      log.warn({ code: 'clock_set', ...told }, 'The system clock was wrong and has been set');
    } catch (cause) {
      quiet((times) =>
        log.error({ code: codeOf(cause), ...told, times, err: cause }, 'The system clock cannot be set'),
      );
    }
  };
}
