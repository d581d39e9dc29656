import { uptimeMs, wallMs, type UptimeMs } from '@paddock/shared/time.ts';
import koffi from 'koffi';
import type { Clock } from '../ports.ts';

/** Clock ids of Linux (time.h). RAW is not slewed by NTP; BOOTTIME goes on through a suspend, MONOTONIC does not. */
const CLOCK_MONOTONIC = 1;
const CLOCK_MONOTONIC_RAW = 4;
const CLOCK_BOOTTIME = 7;

/** No suspend is shorter, and no two readings of two clocks lie further apart. */
const SHORTEST_SUSPEND_MS = 100;
/** The longest delay that a timer of Node takes (2^31 - 1); a longer sleep is made of several. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The machine's clocks. Times are whole milliseconds, rounded down. */
export function createSystemClock(): Clock {
  const read = clockReader();
  const segment = segmentCounter(read);
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
 * Counts the suspends of this boot. Those before the agent started show only as a sum, which counts as one:
 * a clock that was suspended is never told apart from one that was suspended twice before we could see it.
 */
function segmentCounter(read: (clockId: number) => number): () => number {
  const suspendedMs = (): number => read(CLOCK_BOOTTIME) - read(CLOCK_MONOTONIC);
  let known = suspendedMs();
  let count = known > SHORTEST_SUSPEND_MS ? 1 : 0;
  return () => {
    const now = suspendedMs();
    if (now - known > SHORTEST_SUSPEND_MS) {
      known = now;
      count += 1;
    }
    return count;
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
