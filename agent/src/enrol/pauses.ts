/** How long to wait before asking again, by why it is needed, in ms: at first, and at most. */
export const PAUSES = {
  /** No connection, or a server that was not believed. */
  unreachable: { firstMs: 2_000, longestMs: 10 * 60_000 },
  /** The cloud refuses the request itself; somebody has to do something. */
  refused: { firstMs: 30_000, longestMs: 60 * 60_000 },
  /** An operator decides. */
  pending: { firstMs: 10_000, longestMs: 5 * 60_000 },
  /** An operator said no. */
  rejected: { firstMs: 60 * 60_000, longestMs: 24 * 60 * 60_000 },
  /** The certificate that there is works meanwhile. */
  renewal: { firstMs: 60_000, longestMs: 6 * 60 * 60_000 },
} as const satisfies Record<string, { firstMs: number; longestMs: number }>;
export type PauseKind = keyof typeof PAUSES;

/**
 * Exponential, half of it random, so that a fleet that was switched on together does not ask together.
 * @param before how many of this kind came right before
 * @param wishedSeconds what the cloud asks for: never less than that, but never more than a day
 * @param random between 0 and 1
 */
export function pauseMs(kind: PauseKind, before: number, wishedSeconds: number | null, random: number): number {
  const { firstMs, longestMs } = PAUSES[kind];
  const bound = Math.min(longestMs, firstMs * 2 ** Math.min(before, 20));
  const least = Math.min(wishedSeconds ?? 0, 86_400) * 1000;
  return Math.round(Math.max(bound / 2, least) + (random * bound) / 2);
}
