import { describe, expect, it } from 'vitest';
import { Crystal } from '../../../harness/world/crystal.ts';
import { Random } from '../../../harness/world/random.ts';
import { DAY, MINUTE } from '../../../harness/world/spans.ts';
import { TimeQueue } from '../../../harness/world/time-queue.ts';
import { UptimeClock } from '../../../harness/world/uptime-clock.ts';

/** Deviations of a crystal's rate from its constant, in ppm, every ten minutes of some days. */
function deviations(seed: number, wanderPpm: number, days: number): number[] {
  const crystal = new Crystal(new Random(seed, 0), wanderPpm);
  const ppm: number[] = [];
  for (let at = 0, before = crystal.countAt(0); at < days * DAY;) {
    at += 10 * MINUTE;
    const count = crystal.countAt(at);
    ppm.push(((count - before) / (10 * MINUTE) - 1 - crystal.rateError) * 1e6);
    before = count;
  }
  return ppm;
}

describe('a crystal', () => {
  it.each([12, 60])('wanders by up to %i ppm around its constant, and no further', (wanderPpm) => {
    const worst = Array.from({ length: 40 }, (_, seed) =>
      Math.max(...deviations(seed, wanderPpm, 10).map((ppm) => Math.abs(ppm))),
    );
    expect(Math.max(...worst)).toBeLessThan(wanderPpm + 0.001);
    expect(Math.max(...worst)).toBeGreaterThan(0.75 * wanderPpm);
    expect(Math.min(...worst)).toBeGreaterThan(0.2 * wanderPpm);
  });

  it('has a constant of at most 100 ppm, another one in each device', () => {
    const constants = Array.from(
      { length: 200 },
      (_, stream) => new Crystal(new Random(1, stream), 12).rateError * 1e6,
    );
    expect(Math.max(...constants.map(Math.abs))).toBeLessThanOrEqual(100);
    expect(Math.min(...constants)).toBeLessThan(-80);
    expect(Math.max(...constants)).toBeGreaterThan(80);
  });
});

describe('an uptime clock', () => {
  it('counts from the boot, stands still in a suspend, runs faster when slewed and jumps no further back than the boot', () => {
    const clock = new UptimeClock(new Crystal(new Random(1, 1), 0));
    const near = (at: number): number => Math.round(clock.at(at) / 100) * 100;
    clock.boot(10_000);
    expect(near(110_000)).toBe(100_000);
    clock.pace(110_000, 0);
    expect(near(210_000)).toBe(100_000);
    clock.pace(210_000, 1.005);
    expect(near(310_000)).toBe(200_500);
    clock.jump(310_000, -1e9);
    expect(near(310_000)).toBe(0);
    expect(near(410_000)).toBe(100_500);
  });
});

describe('a random stream', () => {
  it('is its seed and its stream', () => {
    const draw = (seed: number, stream: number): number[] => {
      const random = new Random(seed, stream);
      return Array.from({ length: 20 }, () => random.unit());
    };
    expect(draw(1, 2)).toEqual(draw(1, 2));
    expect(draw(1, 2)).not.toEqual(draw(1, 3));
    expect(draw(1, 2)).not.toEqual(draw(2, 2));
  });

  it('is even, and keeps to its bounds', () => {
    const random = new Random(7, 0);
    const draws = Array.from({ length: 20_000 }, () => random.between(3, 5));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(3);
    expect(Math.max(...draws)).toBeLessThan(5);
    for (let bin = 0; bin < 10; bin++)
      expect(draws.filter((draw) => Math.floor((draw - 3) * 5) === bin).length).toBeGreaterThan(1800);
    const mean = draws.reduce((sum) => sum + random.exponential(4), 0) / draws.length;
    expect(Math.abs(mean - 4)).toBeLessThan(0.2);
  });
});

describe('a queue of what will happen', () => {
  it('gives the earliest first, and what is put in first of one moment', () => {
    const random = new Random(3, 0);
    const queue = new TimeQueue<number>();
    const put = Array.from({ length: 500 }, (_, n) => ({ at: Math.floor(random.between(0, 50)), item: n }));
    for (const { at, item } of put) queue.push(at, item);
    const taken: { at: number; item: number }[] = [];
    for (let next = queue.pop(); next !== null; next = queue.pop()) taken.push({ at: next.at, item: next.item });
    expect(taken).toEqual(put.toSorted((a, b) => a.at - b.at || a.item - b.item));
  });
});
