import { uptimeMs, wallMs, type UptimeMs } from '@paddock/shared/time.ts';
import koffi from 'koffi';
import type { Clock } from '../ports.ts';

/** Clock ids of Linux (time.h). RAW is not slewed by NTP; BOOTTIME goes on through a suspend, MONOTONIC does not. */
const CLOCK_MONOTONIC = 1;
const CLOCK_MONOTONIC_RAW = 4;
const CLOCK_BOOTTIME = 7;

/** No suspend is shorter. */
const SHORTEST_SUSPEND_MS = 100;
/** The longest delay that a timer of Node takes (2^31 - 1); a longer sleep is made of several. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The machine's clocks. Times are whole milliseconds, rounded down. */
export function createSystemClock(): Clock {
  const read = clockReader();
  const segment = createSegments(read);
  return {
    wall: () => wallMs(Date.now()),
    monotonic: (): UptimeMs => uptimeMs(Math.floor(read(CLOCK_MONOTONIC_RAW))),
    segment,
    sleep,
  };
}

/** clock_gettime(2) through libc: Node itself only offers CLOCK_MONOTONIC. */
function clockReader(): (clockId: number) => number {
  const gettime = koffi.load(null).func('int clock_gettime(int, _Out_ void *)');
  const timespec = new BigInt64Array(2);
  return (clockId) => {
    if (gettime(clockId, timespec) !== 0)
      throw new Error(`clock_gettime(${clockId}) failed with errno ${koffi.errno()}`);
    return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
  };
}

/**
 * Names the clock segment by how long the machine was suspended in this boot, in tenths of a second: one number for
 * every start of the agent between two suspends, a larger one after the next, and nothing to remember.
 * @param read a clock of Linux by its id, in ms
 */
export function createSegments(read: (clockId: number) => number): () => number {
  // Time that passes between the two readings only adds: the least of several is the nearest.
  const suspendedMs = (): number => -read(CLOCK_MONOTONIC) + read(CLOCK_BOOTTIME);
  const measured = (): number => Math.max(0, Math.min(...Array.from({ length: 5 }, suspendedMs)));
  let known = measured();
  return () => {
    if (suspendedMs() - known > SHORTEST_SUSPEND_MS) {
      const now = measured();
      if (now - known > SHORTEST_SUSPEND_MS) known = now;
    }
    return Math.round(known / SHORTEST_SUSPEND_MS);
  };
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(
      () => (ms > LONGEST_TIMER_MS ? void sleep(ms - LONGEST_TIMER_MS, signal).then(end) : end()),
      Math.min(Math.max(ms, 0), LONGEST_TIMER_MS),
    );
    signal?.addEventListener('abort', end, { once: true });
  });
}
