import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Edge } from '../ports-gpio.ts';

/** Debounces edges where neither the driver nor the kernel does. */
export interface FilterState {
  /** The level that stood last; null before it was seen. */
  readonly level: boolean | null;
  /** The last edge, which nothing contradicts yet. */
  readonly pending: Edge | null;
}

export interface Filtered {
  readonly state: FilterState;
  /** Edges whose level stood for the whole period, stamped when it began to stand. */
  readonly settled: readonly Edge[];
}

/** @param level what the line is now */
export const freshFilter = (level: boolean): FilterState => ({ level, pending: null });

/** What of these edges, and of the one that was pending, has settled by now. */
export function filterEdges(before: FilterState, edges: readonly Edge[], periodMs: number, now: UptimeMs): Filtered {
  let state = before;
  const settled: Edge[] = [];
  const settleBy = (at: UptimeMs): void => {
    const { pending } = state;
    if (pending === null || at - pending.at < periodMs) return;
    if (pending.level !== state.level) settled.push(pending);
    state = { level: pending.level, pending: null };
  };
  for (const edge of edges) {
    settleBy(edge.at);
    state = { ...state, pending: edge };
  }
  settleBy(now);
  return { state, settled };
}

/** When the pending edge has settled if nothing contradicts it; null when none is pending. */
export const settledAt = ({ pending }: FilterState, periodMs: number): UptimeMs | null =>
  pending === null ? null : uptimeMs(pending.at + periodMs);
