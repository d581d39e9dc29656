import { ALL_TOGETHER, Budget, PER_CONNECTION } from '@paddock/agent/local/budget.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const admitted = (budget: Budget, connection: number, times: number, at = 0): number =>
  Array.from({ length: times }, () => budget.admits(connection, uptimeMs(at))).filter(Boolean).length;

describe('requests of one connection', () => {
  it('are let in by a burst and a rate, and cost the others nothing when they are refused', () => {
    const budget = new Budget();
    expect(admitted(budget, 1, 10_000)).toBe(PER_CONNECTION.most);
    expect(admitted(budget, 2, 10)).toBe(10);
    expect(admitted(budget, 1, 10_000, 1_000)).toBe(PER_CONNECTION.perSecond);
  });

  it('are not let in faster by many connections', () => {
    const budget = new Budget();
    const all = Array.from({ length: 1_000 }, (_, connection) => admitted(budget, connection, 5));
    expect(all.reduce((sum, count) => sum + count)).toBe(ALL_TOGETHER.most);
  });
});
