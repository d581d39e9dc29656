import type { UptimeMs } from '@paddock/shared/time.ts';

/** How one part of the agent gets on, at one moment. */
export interface Vital {
  /** Grows with everything that it has got done. */
  readonly done: number;
  /** Nothing has to be done: nobody asks anything of it, or what it waits for is no fault of the agent. */
  readonly idle: boolean;
  /** What the slowest thing may take that it does. */
  readonly withinMs: number;
}

/** By the part's name. One that is not there any more is not missed. */
export type Vitals = Readonly<Record<string, Vital>>;

/** What is remembered from one look to the next: since when each part has got nothing done that it has to do. */
export type Watch = Readonly<Record<string, Pick<Vital, 'done' | 'idle'> & { readonly since: UptimeMs }>>;

export type Verdict =
  | { readonly kind: 'well' }
  /** The event loop came so much later than it should have. */
  | { readonly kind: 'late'; readonly ms: number }
  | { readonly kind: 'stalled'; readonly part: string; readonly ms: number };

export interface Look {
  readonly now: UptimeMs;
  /** When this look should have been. */
  readonly dueAt: UptimeMs;
  /** The loop may come so much later. */
  readonly lateMs: number;
  readonly vitals: Vitals;
}

/**
 * Whether the agent may say that it is well. A program that only answers a timer proves nothing: its loop has to come
 * in time, and each of its parts has to get on with what it has to do.
 */
export function judge(before: Watch, look: Look): { readonly watch: Watch; readonly verdict: Verdict } {
  const { now, dueAt, lateMs, vitals } = look;
  const seen = Object.entries(vitals).map(([part, { done, idle }]) => {
    const known = before[part];
    const isAnew = known === undefined || known.idle || idle || known.done !== done;
    return [part, { done, idle, since: isAnew ? now : known.since }] as const;
  });
  return { watch: Object.fromEntries(seen), verdict: late(now - dueAt, lateMs) ?? stalled(seen, look) };
}

const late = (ms: number, most: number): Verdict | null => (ms > most ? { kind: 'late', ms } : null);

function stalled(seen: readonly (readonly [string, NonNullable<Watch[string]>])[], { now, vitals }: Look): Verdict {
  const worst = seen.find(([part, { since }]) => now - since > (vitals[part]?.withinMs ?? Infinity));
  return worst === undefined ? { kind: 'well' } : { kind: 'stalled', part: worst[0], ms: now - worst[1].since };
}
