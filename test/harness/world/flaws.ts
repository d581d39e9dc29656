import type { Random } from './random.ts';
import { HOUR, MINUTE, SECOND } from './spans.ts';
import type { UptimeClock } from './uptime-clock.ts';

/** What breaks the assumptions of some devices. */
export type Flaw = 'slew' | 'suspend' | 'jump' | 'lie';

export const untilNextFlaw = (random: Random): number => random.exponential(8 * HOUR);

/** Breaks the uptime of a running machine. @returns for how long it stays so; the caller sets the pace right again */
export function breakUptime(flaw: Flaw, clock: UptimeClock, at: number, random: Random): number {
  switch (flaw) {
    case 'lie':
      return 0;
    case 'jump':
      clock.jump(at, random.sign() * random.logBetween(SECOND, 24 * HOUR));
      return 0;
    case 'slew':
      clock.pace(at, 1 + random.sign() * random.logBetween(500e-6, 5000e-6));
      return random.logBetween(10 * MINUTE, 4 * HOUR);
    case 'suspend':
      clock.pace(at, 0);
      return random.logBetween(30 * SECOND, 8 * HOUR);
  }
}
