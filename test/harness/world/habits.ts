import type { Random } from './random.ts';
import { DAY, HOUR, MINUTE, SECOND } from './spans.ts';

/** How long a boot lasts, and how often such a one is met. */
const LIVES = [
  { weight: 12, lastsMs: [2 * MINUTE, HOUR] },
  { weight: 28, lastsMs: [HOUR, DAY] },
  { weight: 60, lastsMs: [DAY, 40 * DAY] },
] as const;
/** How long a device is without power. */
const DARK = [
  { weight: 75, lastsMs: [5 * SECOND, 3 * MINUTE] },
  { weight: 18, lastsMs: [3 * MINUTE, 4 * HOUR] },
  { weight: 7, lastsMs: [4 * HOUR, 2 * DAY] },
] as const;

/** What one device is like for as long as it lives. */
export interface Habits {
  /** Share of power cuts that leave the outbox. */
  readonly outboxSurvives: number;
  /** Share of exchanges that it asks for with a request of its own instead of a report. */
  readonly asksForTime: number;
  /** How long the machine takes before the agent runs. */
  readonly startsUpMs: number;
  /** Whether the assumptions are broken here, in a world that breaks them for some. */
  readonly flawed: boolean;
}

export const habitsOf = (random: Random): Habits => ({
  outboxSurvives: random.chance(0.6) ? 0.9 : 0.1,
  asksForTime: random.chance(0.3) ? 0.6 : 0,
  startsUpMs: random.logBetween(4, 60) * SECOND,
  flawed: random.chance(0.5),
});

export const bootLasts = (random: Random): number => random.logBetween(...random.pick(LIVES).lastsMs);
export const darkFor = (random: Random): number => random.logBetween(...random.pick(DARK).lastsMs);
/** Power often goes with the network, sometimes more than once. @returns moments of an outage when the power is cut */
export function cutsWithin(random: Random, outageMs: number): number[] {
  if (!random.chance(0.3)) return [];
  const first = random.between(0, 0.6) * outageMs;
  return random.chance(0.4) ? [first, random.between(first, outageMs)] : [first];
}
