import { setTimeout as wait } from 'node:timers/promises';
import { wallMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';

/** Node's timers hold 31 bits; a longer one would end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's own clock. */
export const systemClock: Clock = {
  wall: () => wallMs(Date.now()),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    for (let leftMs = ms; leftMs > 0 && !signal?.aborted; leftMs -= LONGEST_TIMER_MS) {
      await wait(Math.min(leftMs, LONGEST_TIMER_MS), undefined, { signal }).catch(() => undefined);
    }
  },
};
