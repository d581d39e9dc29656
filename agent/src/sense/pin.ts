import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Edge } from '../ports-gpio.ts';

/** What is made of a line: its level, or how many of its edges there were. */
export interface PinKind {
  readonly counts: 'rising' | 'falling' | 'both' | null;
  /** The kernel leaves the debouncing to us, so an edge counts when it has settled. */
  readonly filtered: boolean;
}

/** Everything that is remembered of a line. A new state is made for every input; nothing here is ever changed. */
export interface PinState {
  readonly level: boolean | null;
  /** When the level was last asked for. */
  readonly lookedAt: UptimeMs | null;
  /** The level was another one than the edges said, the last time it was asked for. */
  readonly contradicted: boolean;
  /** Edges since the start. */
  readonly count: number;
  /** The kernel's number of the last edge; 0 before the first. */
  readonly sequence: number;
  /** Edges since the start that the kernel numbered and had to throw away. */
  readonly lost: number;
}

export type Telling =
  | { readonly kind: 'sample'; readonly value: boolean | number; readonly at: UptimeMs }
  | { readonly kind: 'gap'; readonly at: UptimeMs };

export interface PinStep {
  readonly state: PinState;
  readonly tellings: readonly Telling[];
}

export const UNSEEN_PIN: PinState = {
  level: null,
  lookedAt: null,
  contradicted: false,
  count: 0,
  sequence: 0,
  lost: 0,
};

/** How many the kernel numbered in between: it counts in 32 bits and begins anew. */
export const missedBetween = (last: number, next: number): number => (next - last - 1) >>> 0;

/** Another request for the same line: the kernel counts from 1 again. What is held stays. */
export const asked = (state: PinState): PinState => ({
  ...state,
  level: null,
  lookedAt: null,
  contradicted: false,
  sequence: 0,
});

/**
 * What a batch of the kernel's edges says. When too many come the kernel throws the oldest away, and its numbers say
 * how many: a count of all edges stays right, the level's changes are not known any more.
 */
export function takeEdges(kind: PinKind, before: PinState, edges: readonly Edge[]): PinStep {
  let state = before;
  const tellings: Telling[] = [];
  for (const edge of edges) {
    const missed = missedBetween(state.sequence, edge.sequence);
    const isGap = missed > 0 && (kind.counts === null || kind.filtered);
    if (isGap) tellings.push({ kind: 'gap', at: whole(edge.at) });
    state = { ...state, sequence: edge.sequence, lost: state.lost + missed };
    if (kind.filtered) continue;
    if (kind.counts === null) {
      const step = moveTo(state, edge, isGap);
      state = step.state;
      tellings.push(...step.tellings);
    } else state = { ...state, count: state.count + missed + 1 };
  }
  const last = edges.at(-1);
  if (kind.counts !== null && !kind.filtered && last) tellings.push(counted(state, last.at));
  return { state, tellings };
}

/** An edge that has settled, where the debouncing is ours. */
export function takeSettled(kind: PinKind, before: PinState, edge: Edge): PinStep {
  if (kind.counts === null) return { state: { ...before, level: edge.level }, tellings: [seen(edge.level, edge.at)] };
  const fits = kind.counts === 'both' || (kind.counts === 'rising') === edge.level;
  const state = { ...before, level: edge.level, count: before.count + (fits ? 1 : 0) };
  return { state, tellings: fits ? [counted(state, edge.at)] : [] };
}

/** The kernel sees a level a moment after its edge, so a pulse that is too short shows as the same level twice. */
function moveTo(state: PinState, edge: Edge, known: boolean): PinStep {
  const isNews = state.lookedAt === null || edge.at > state.lookedAt + 1;
  const isTwice = state.level === edge.level && isNews && !known;
  return {
    state: { ...state, level: edge.level, contradicted: false },
    tellings: [...(isTwice ? [{ kind: 'gap', at: whole(edge.at) } as const] : []), seen(edge.level, edge.at)],
  };
}

/**
 * What the level says that was just asked for, after all edges were taken. One that contradicts them is believed the
 * second time: its edge may only not have come yet.
 * @param edgesTell whether edges come by themselves; without them the level is all that there is
 */
export function takeLevel(kind: PinKind, before: PinState, level: boolean, at: UptimeMs, edgesTell: boolean): PinStep {
  const looked = { ...before, lookedAt: at };
  if (kind.counts !== null)
    return { state: { ...looked, level: before.level ?? level }, tellings: [counted(looked, at)] };
  const agrees = before.level === null || before.level === level || !edgesTell;
  if (agrees) return { state: { ...looked, level, contradicted: false }, tellings: [seen(level, at)] };
  if (!before.contradicted) return { state: { ...looked, contradicted: true }, tellings: [] };
  return {
    state: { ...looked, level, contradicted: false },
    tellings: [{ kind: 'gap', at: whole(at) }, seen(level, at)],
  };
}

const seen = (level: boolean, at: UptimeMs): Telling => ({ kind: 'sample', value: level, at: whole(at) });
const counted = ({ count }: PinState, at: UptimeMs): Telling => ({ kind: 'sample', value: count, at: whole(at) });

/** As the agent's clock counts. */
const whole = (at: UptimeMs): UptimeMs => uptimeMs(Math.floor(at));
