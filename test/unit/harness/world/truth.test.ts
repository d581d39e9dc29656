import { describe, expect, it } from 'vitest';
import { judgeWorld } from '../../../harness/world/judge.ts';

describe('reconciliation of simulated worlds', () => {
  it.each([1, 2, 3, 4])('keeps every truth inside its interval: seed %i', (seed) => {
    const verdict = judgeWorld('ordinary', { seed, devices: 16, reports: 5000 });
    expect(verdict.violations.filter(({ isClaim }) => !isClaim)).toEqual([]);
    expect(verdict.exchanged.moments).toBeGreaterThan(4000);
    expect(verdict.exchanged.inside).toBe(verdict.exchanged.moments);
    expect(verdict.changes.inside).toBe(verdict.changes.moments);
    // An honest world raises no alarm but about wall clocks.
    expect([...verdict.boots.values()].filter(({ isNoticed }) => isNoticed)).toEqual([]);
    const ratio = (verdict.exchanged.widthMs.quantile(0.5) ?? NaN) / (verdict.roundTripMs.quantile(0.5) ?? NaN);
    expect(ratio).toBeLessThan(1.2);
  });

  it('adds the error that the cloud says of itself', () => {
    const verdict = judgeWorld('cloud-swings', { seed: 1, devices: 16, reports: 5000 });
    expect(verdict.exchanged.inside).toBe(verdict.exchanged.moments);
    expect(verdict.changes.inside).toBe(verdict.changes.moments);
  });

  it.each(['slewed', 'suspend', 'lying', 'uptime-jumps'] as const)('leaves other devices alone: %s', (name) => {
    const verdict = judgeWorld(name, { seed: 4, devices: 16, reports: 8000 });
    expect(verdict.sound.moments).toBeGreaterThan(1000);
    expect(verdict.sound.inside).toBe(verdict.sound.moments);
    const broken = [...verdict.boots.values()].filter(({ isBroken }) => isBroken);
    expect(broken.filter(({ isNoticed }) => isNoticed).length).toBeGreaterThan(broken.length / 2);
  });
});
