const FIRST_MS = 500;
const LONGEST_MS = 60_000;
const SHORTEST_MS = 50;

/**
 * Exponential back-off with full jitter: after a broker's restart a fleet comes back spread out.
 * @param failures connections in a row that did not last
 * @param random between 0 and 1
 */
export function reconnectDelayMs(failures: number, random: number): number {
  const bound = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 20));
  return SHORTEST_MS + Math.round(random * (bound - SHORTEST_MS));
}
