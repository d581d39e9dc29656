import type { Edge } from '@paddock/agent/ports-gpio.ts';
import { filterEdges, freshFilter, settledAt } from '@paddock/agent/sense/edge-filter.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { at } from '../../../harness/agent/sense.ts';

const edge = (level: boolean, ms: number): Edge => ({ level, at: at(ms), sequence: 0 });

describe('debouncing of our own', () => {
  it('tells a level when it has stood for long enough, as of when it began to stand', () => {
    const bounce = [edge(true, 10), edge(false, 11), edge(true, 12)];
    const early = filterEdges(freshFilter(false), bounce, 5, at(16));
    expect(early.settled).toEqual([]);
    expect(settledAt(early.state, 5)).toBe(17);
    expect(filterEdges(early.state, [], 5, at(17)).settled).toEqual([edge(true, 12)]);
  });

  it('tells nothing of a spike', () => {
    const spike = filterEdges(freshFilter(false), [edge(true, 10), edge(false, 11)], 5, at(100));
    expect(spike.settled).toEqual([]);
    expect(settledAt(spike.state, 5)).toBeNull();
  });

  it('tells the same whatever batches the edges come in', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.boolean(), fc.boolean()), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (moves) => {
        let now = 0;
        const edges = moves.map(([ms, level]) => edge(level, (now += ms)));
        const whole = filterEdges(freshFilter(false), edges, 5, at(now + 5)).settled;
        let state = freshFilter(false);
        const parts: Edge[] = [];
        for (const [index, one] of edges.entries()) {
          const looksBetween = moves[index]?.[2] === true;
          const step = filterEdges(state, [one], 5, one.at);
          const idle = looksBetween ? filterEdges(step.state, [], 5, one.at) : { state: step.state, settled: [] };
          state = idle.state;
          parts.push(...step.settled, ...idle.settled);
        }
        parts.push(...filterEdges(state, [], 5, at(now + 5)).settled);
        expect(parts).toEqual(whole);
        // Two edges that count are never the same level, and never nearer than the period.
        expect(whole.every((one, i) => i === 0 || one.level !== whole[i - 1]?.level)).toBe(true);
        expect(whole.every((one, i) => i === 0 || one.at - (whole[i - 1]?.at ?? 0) >= 5)).toBe(true);
      }),
    );
  });
});
