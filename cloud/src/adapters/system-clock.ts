import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { wallMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';

/** The machine's own clocks. */
export const systemClock: Clock = {
  wall: () => wallMs(Date.now()),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
};
