import type { UptimeMs } from '@paddock/shared/time.ts';

/** What was sent of this start's inventories. */
export interface Delivery {
  /** The digest of what reached the broker last, which does not say that the cloud has it. */
  readonly digest: string | null;
  readonly at: UptimeMs | null;
}

export const NOTHING_SENT: Delivery = { digest: null, at: null };

/** Answers that want an inventory may be on their way when it is sent: it is not sent for each of them. */
const AGAIN_AFTER_MS = 60_000;

/**
 * Whether the inventory is to be sent now: when it is another than was sent, and when the cloud wants it. It is the
 * whole of what is known, so nothing has to be kept until it arrives: one that got lost is wanted by the next answer.
 */
export function isDue({ digest, at }: Delivery, current: string, isWanted: boolean, now: UptimeMs): boolean {
  if (digest !== current) return true;
  return isWanted && (at === null || now - at >= AGAIN_AFTER_MS);
}

/** Looked at again once a day, each device at another time of it. */
const DAY_MS = 86_400_000;
const SPREAD = 0.2;

/** @param random from 0 to 1 */
export const nextLookMs = (random: number): number => Math.round(DAY_MS * (1 - SPREAD / 2 + SPREAD * random));
