import { LOOK_EVERY_MS } from './steps.ts';

/** How long to wait before trying again, by why, in ms: at first, and at most. */
const PAUSES = {
  /** A server, or the network before it. */
  network: { firstMs: 10_000, longestMs: 30 * 60_000 },
  /** Metadata, contents or the disk: somebody has to do something. */
  trouble: { firstMs: 5 * 60_000, longestMs: 6 * 60 * 60_000 },
  /** Something was set off, and shows a little later. */
  settling: { firstMs: LOOK_EVERY_MS, longestMs: LOOK_EVERY_MS },
  /** The launcher was told, which interrupts whoever uses the kiosk. */
  restart: { firstMs: LOOK_EVERY_MS, longestMs: 60 * 60_000 },
} as const satisfies Record<string, { firstMs: number; longestMs: number }>;
export type PauseKind = keyof typeof PAUSES;

/**
 * Exponential, half of it random, so that a fleet that was told together does not come together.
 * @param before how often it failed in a row before
 * @param random between 0 and 1
 */
export function pauseMs(kind: PauseKind, before: number, random: number): number {
  const { firstMs, longestMs } = PAUSES[kind];
  const bound = Math.min(longestMs, firstMs * 2 ** Math.min(before, 20));
  return Math.round(bound / 2 + (random * bound) / 2);
}
