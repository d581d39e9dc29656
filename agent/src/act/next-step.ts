import type { UptimeMs } from '@paddock/shared/time.ts';
import type { OutputFault } from './codes.ts';
import type { OutputValue } from './settings.ts';

/** What is known of an output that has to be told what to be. */
export interface SentState {
  readonly wanted: OutputValue | null;
  /** What was told, which came to be so, and in which opening of the port; null: nobody knows. */
  readonly told: { readonly value: OutputValue; readonly life: number } | null;
  readonly actual: OutputValue | null;
  readonly lookedAt: UptimeMs | null;
  readonly fault: OutputFault | null;
  /** When it may be told again after it failed, as long as the port was not opened anew. */
  readonly again: { readonly at: UptimeMs; readonly life: number } | null;
}

export const UNTOLD: SentState = { wanted: null, told: null, actual: null, lookedAt: null, fault: null, again: null };

export type Step =
  | { readonly kind: 'tell'; readonly value: OutputValue }
  | { readonly kind: 'look' }
  | { readonly kind: 'wait'; readonly ms: number };

export interface StepContext {
  readonly now: UptimeMs;
  /** Which opening of the port stands; 0: none. */
  readonly life: number;
  /** How often it is looked at; null where it cannot be. */
  readonly checkMs: number | null;
}

/** How soon it shows that a port was opened, and that one was opened anew. */
const OPEN_MS = 50;
const LOOK_MS = 500;

/**
 * What is to be done next. Whatever was wanted is told once to hardware that is there, again when the port was opened
 * anew, because the hardware may have been without power, and again when something else is read back.
 */
export function nextStep(state: SentState, { now, life, checkMs }: StepContext): Step {
  const { wanted, told, lookedAt, again } = state;
  if (life === 0) return { kind: 'wait', ms: OPEN_MS };
  const isTold = wanted === null || (told?.value === wanted && told.life === life);
  const waitMs = again?.life === life ? again.at - now : 0;
  if (waitMs > 0) return { kind: 'wait', ms: Math.min(LOOK_MS, waitMs) };
  if (!isTold) return { kind: 'tell', value: wanted };
  const lookMs = checkMs === null ? LOOK_MS : lookedAt === null ? 0 : lookedAt + checkMs - now;
  return lookMs <= 0 ? { kind: 'look' } : { kind: 'wait', ms: Math.min(LOOK_MS, lookMs) };
}
