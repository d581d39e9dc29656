import { wallMs, type TimeInterval, type WallMs } from '@paddock/shared/time.ts';

/**
 * A crystal is wrong by up to 100 ppm, and CLOCK_MONOTONIC_RAW is not disciplined by anyone:
 * 200 ppm holds until a rate is learned for the boot.
 */
export const MAX_RATE_ERROR = 200e-6;

/** Time that may pass beyond each ms that a clock counts which is slow by MAX_RATE_ERROR. */
const LONGEST_SLIP = MAX_RATE_ERROR / (1 - MAX_RATE_ERROR);
/** Uptime is reported in whole ms: a span between two reports is wrong by less than one. */
const UPTIME_STEP_MS = 1;

/** A moment of one boot: uptime, and the clock segment (count of suspends) that it lies in. */
export interface BootMoment {
  readonly uptimeMs: number;
  readonly segment: number;
}

/** The tightest upper bound known for one boot: that moment was no later than `latest`. */
export interface Anchor extends BootMoment {
  readonly latest: WallMs;
}

/** A report sent at some uptime and received by the cloud at `receivedAt`: T(uptime) <= receivedAt. */
export interface Arrival extends BootMoment {
  readonly receivedAt: WallMs;
}

/**
 * Takes one more arrival into account.
 * @param cloudErrorMs how wrong the cloud's own clock can be, in ms: part of every bound
 * @returns the anchor that bounds best from here on
 */
export function tighten(anchor: Anchor | null, arrival: Arrival, cloudErrorMs: number): Anchor {
  const fresh = anchorOf(arrival, cloudErrorMs);
  if (anchor === null) return fresh;
  const carried = carry(anchor, arrival);
  return carried !== null && carried < fresh.latest ? anchor : fresh;
}

/**
 * Places a report in time: never later than it arrived, nor later than the boot's anchor allows.
 * Nothing bounds it from below until the device and the cloud have made an exchange.
 */
export function intervalOf(anchor: Anchor | null, report: Arrival, cloudErrorMs: number): TimeInterval {
  const arrival = anchorOf(report, cloudErrorMs).latest;
  const carried = anchor === null ? null : carry(anchor, report);
  if (carried !== null && carried < arrival)
    return { earliest: null, latest: carried, estimate: carried, basis: 'extrapolated' };
  return { earliest: null, latest: arrival, estimate: arrival, basis: 'arrival' };
}

function anchorOf({ uptimeMs, segment, receivedAt }: Arrival, cloudErrorMs: number): Anchor {
  return { uptimeMs, segment, latest: wallMs(receivedAt + cloudErrorMs) };
}

/**
 * The anchor's bound carried to another moment of the boot at a bounded rate, rounded up to whole ms.
 * Backwards it holds across suspends, which only add time in between; forwards it does not (null),
 * not even to the same uptime, which stands still while the machine is suspended.
 */
function carry(anchor: Anchor, to: BootMoment): WallMs | null {
  const spanMs = to.uptimeMs - anchor.uptimeMs;
  if (to.segment > anchor.segment || (spanMs > 0 && to.segment !== anchor.segment)) return null;
  return wallMs(Math.ceil(anchor.latest + spanMs + UPTIME_STEP_MS + Math.abs(spanMs) * LONGEST_SLIP));
}
