import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';

/** What becomes of a desired value when the cloud says nothing any more. */
export type Policy = { readonly kind: 'hold' } | { readonly kind: 'revert' | 'lease'; readonly ms: number };

/** What is known of the cloud's word on an output, in this start of the agent. */
export interface Word {
  readonly isDesired: boolean;
  /** When the newest report was sent that an answer came to: the cloud was there then, or later. */
  readonly heard: Moment | null;
  /** The same of an answer that named what is held as current. */
  readonly confirmed: Moment | null;
}

export const NO_WORD: Word = { isDesired: false, heard: null, confirmed: null };

export type WordInput =
  | { readonly kind: 'desired' }
  | { readonly kind: 'gone' }
  /** An answer, by when its report was sent: one that was kept back renews nothing. */
  | { readonly kind: 'answered'; readonly asked: Moment; readonly isCurrent: boolean };

/** What holds in each phase. */
export const PHASES = {
  own: { holds: 'safe' },
  /** Desired, and no word of the cloud since the start of the agent or a suspend: nobody knows how long it is away. */
  unproven: { holds: 'safe' },
  held: { holds: 'desired' },
  away: { holds: 'safe' },
} as const satisfies Record<string, { readonly holds: 'safe' | 'desired' }>;
export type Phase = keyof typeof PHASES;

/** What each input makes of what is known. A word stays when something else is desired: the cloud was there. */
const INPUTS = {
  desired: (word) => ({ ...word, isDesired: true }),
  gone: (word) => ({ ...word, isDesired: false }),
  answered: (word, { asked, isCurrent }) => ({
    ...word,
    heard: later(word.heard, asked),
    confirmed: isCurrent ? later(word.confirmed, asked) : word.confirmed,
  }),
} as const satisfies { [K in WordInput['kind']]: (word: Word, input: Extract<WordInput, { kind: K }>) => Word };

export function hear(word: Word, input: WordInput): Word {
  return input.kind === 'answered' ? INPUTS.answered(word, input) : INPUTS[input.kind](word);
}

/** Answers come in any order. */
const later = (one: Moment | null, other: Moment): Moment =>
  one === null || other.segment > one.segment || (other.segment === one.segment && other.at > one.at) ? other : one;

/**
 * In which phase an output is, and when that ends unless something is heard. Invariant: with `revert` and `lease`
 * nothing desired holds for longer than `ms` after the cloud was certainly there, whatever any wall clock says.
 */
export function phaseOf(policy: Policy, word: Word, now: Moment): { phase: Phase; endsAt: UptimeMs | null } {
  if (!word.isDesired) return { phase: 'own', endsAt: null };
  if (policy.kind === 'hold') return { phase: 'held', endsAt: null };
  const proof = policy.kind === 'lease' ? word.confirmed : word.heard;
  if (proof === null || proof.segment !== now.segment || proof.at > now.at) return { phase: 'unproven', endsAt: null };
  const endsAt = uptimeMs(proof.at + policy.ms);
  return now.at < endsAt ? { phase: 'held', endsAt } : { phase: 'away', endsAt: null };
}
