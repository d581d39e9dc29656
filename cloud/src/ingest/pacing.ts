/** What a device may send again each second while the cloud has nothing else to do: the protocol's default. */
const MOST = 20;
/** Ten thousand devices that catch up at once are still fewer reports than one instance records. */
const LEAST = 0.2;
/** Up to here the queue only evens out bursts; from there on devices that catch up are slowed down. */
const CALM = 0.25;
/** From here on live reports would have to wait for room. */
const FULL = 0.75;

/**
 * How fast a device may send again what is not recorded yet, so that live reports find room: the fuller our queue, the
 * slower. The answers of a burst slow it down while it lasts, and every device hears when it is over. How many devices
 * catch up is not known, and may be one or all: equal steps of the queue are equal factors, so that it comes to rest
 * somewhere between for any number of them.
 * @param fullness of the queue, from 0 to 1
 * @returns reports a second, to a tenth
 */
export function resendPerSecond(fullness: number): number {
  const crowded = Math.min(1, Math.max(0, (fullness - CALM) / (FULL - CALM)));
  return Math.round(MOST * (LEAST / MOST) ** crowded * 10) / 10;
}
