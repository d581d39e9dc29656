/** What a device may send again each second while the cloud has nothing else to do: the protocol's default. */
const MOST = 20;
const LEAST = 1;
/** Up to here the queue only evens out bursts; from there on devices that catch up are slowed down. */
const CALM = 0.25;
/** From here on live reports would have to wait for room. */
const FULL = 0.75;

/**
 * How fast a device may send again what is not recorded yet, so that live reports find room: the fuller our queue, the
 * slower. The answers of a burst slow it down while it lasts, and every device hears when it is over.
 * @param fullness of the queue, from 0 to 1
 * @returns reports a second, a whole number
 */
export function resendPerSecond(fullness: number): number {
  const room = Math.min(1, Math.max(0, (FULL - fullness) / (FULL - CALM)));
  return Math.max(LEAST, Math.round(MOST * room));
}
