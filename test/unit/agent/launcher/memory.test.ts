import { begun, NO_MEMORY, over, pauseMs, trialLeftMs, type Memory } from '@paddock/agent/launcher/memory.ts';
import { describe, expect, it } from 'vitest';

const run = { slot: 'a', sha256: 'a'.repeat(64) } as const;
const other = { slot: 'b', sha256: 'b'.repeat(64) } as const;
const trial = { id: 4, ...other, starts: 3, withinMs: 10_000 };

/** Starts the same again and again, each time for so long. */
const lives = (...ranMs: number[]): Memory =>
  ranMs.reduce((memory, ms) => over(begun(memory, { run, trial: null }), 'ended', ms), NO_MEMORY);

describe('what the launcher remembers', () => {
  it('counts restarts of the same content, and begins anew with another', () => {
    expect(begun(lives(1), { run, trial: null }).restarts).toBe(1);
    expect(begun(lives(1, 1, 1), { run, trial: null }).restarts).toBe(3);
    expect(begun(lives(1, 1), { run: other, trial: null })).toMatchObject({ restarts: 0, quickEnds: 0 });
  });

  it('waits longer after each quick end, and not for ever', () => {
    const pauses = Array.from({ length: 12 }, (_, ends) => pauseMs(lives(...Array<number>(ends).fill(1))));
    expect(pauses.slice(0, 5)).toEqual([0, 250, 500, 1_000, 2_000]);
    expect(pauses.at(-1)).toBe(30_000);
    expect(pauseMs(lives(1, 1, 1, 60_000))).toBe(250);
  });

  it('waits for nothing when it was asked, or goes back', () => {
    expect(pauseMs(over(lives(1, 1, 1), 'asked', 1))).toBe(0);
    expect(pauseMs(over(begun(NO_MEMORY, { run: other, trial }), 'time-up', 10_000))).toBe(0);
    expect(begun(over(lives(1, 1), 'asked', 1), { run, trial: null }).restarts).toBe(0);
  });

  it('counts the time of a trial over all of its starts, and of each trial alone', () => {
    const once = over(begun(NO_MEMORY, { run: other, trial }), 'ended', 4_000);
    const twice = begun(once, { run: other, trial });
    expect(trialLeftMs(twice, trial.withinMs)).toBe(6_000);
    expect(trialLeftMs(over(twice, 'ended', 7_000), trial.withinMs)).toBe(0);
    expect(trialLeftMs(begun(once, { run: other, trial: { ...trial, id: 5 } }), trial.withinMs)).toBe(10_000);
  });

  it('knows a trial that is over, whatever the disk says', () => {
    const after = over(begun(NO_MEMORY, { run: other, trial }), 'time-up', 10_000);
    expect(after.refused).toBe(4);
    expect(over(begun(after, { run, trial: null }), 'ended', 1).refused).toBe(4);
  });
});
