import { observe, type ClockRecord, type LivedClock } from '@paddock/cloud/clock/clock.ts';
import type { ClosedEra } from '@paddock/cloud/clock/era.ts';
import { DeviceLife } from '@paddock/cloud/clock/life.ts';
import { wallMs } from '@paddock/shared/time.ts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const BEGAN = 1_795_464_000_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A boot whose crystal is wrong by a constant and by a wave of temperature; it counts whole ms. */
interface Crystal {
  readonly beganAt: number;
  readonly ppm: number;
  readonly wavePpm: number;
}

/** True time at an uptime: the wave's integral is a cosine, of a period of a day. */
const trueAt = ({ beganAt, ppm, wavePpm }: Crystal, uptimeMs: number): number => {
  const day = (24 * HOUR) / (2 * Math.PI);
  return beganAt + uptimeMs * (1 + ppm * 1e-6) + wavePpm * 1e-6 * day * (1 - Math.cos(uptimeMs / day));
};

interface Sent {
  readonly uptimeMs: number;
  readonly upMs: number;
  readonly downMs: number | null;
}

/** Sends reports; those with an answer tell of their exchange in the next one. */
function run(crystal: Crystal, reports: readonly Sent[]) {
  let record: ClockRecord | null = null;
  const closed: ClosedEra[] = [];
  let told: Parameters<typeof observe>[1]['exchanges'] = [];
  const faults: string[] = [];
  for (const { uptimeMs, upMs, downMs } of reports) {
    const receivedAt = wallMs(Math.floor(trueAt(crystal, uptimeMs) + upMs));
    const evidence = { uptimeMs: Math.floor(uptimeMs), receivedAt, wallMs: null, exchanges: told, cloudErrorMs: 0 };
    const observed = observe(record, evidence);
    record = observed.clock;
    closed.push(...observed.closed);
    faults.push(...observed.faults);
    if (downMs === null) {
      told = [];
      continue;
    }
    const arrivedAtUptime = uptimeMs + upMs + 30 + downMs;
    const cloudSentAt = wallMs(Math.floor(trueAt(crystal, arrivedAtUptime) - downMs));
    const responseUptimeMs = Math.floor(arrivedAtUptime);
    const stamped = { cloudReceivedAt: receivedAt, cloudSentAt, cloudErrorMs: 0 };
    told = [{ requestUptimeMs: Math.floor(uptimeMs), ...stamped, responseUptimeMs }];
  }
  if (record === null) throw new Error('Nothing was sent');
  return { record, closed, faults };
}

const lived = (
  bootId: string,
  { record, closed }: { record: ClockRecord; closed: readonly ClosedEra[] },
): LivedClock => ({
  bootId,
  segment: 0,
  record,
  closed,
});
const NEVER_MIND = wallMs(BEGAN + 10_000 * HOUR);

const everyFiveMinutes = (hours: number, upMs: number, downMs: number): Sent[] =>
  Array.from({ length: hours * 12 }, (_, n) => ({
    uptimeMs: 1000 + n * 5 * MINUTE,
    upMs,
    downMs: n % 6 === 0 ? downMs : null,
  }));

describe('a boot that exchanges', () => {
  const crystal = fc.record({
    beganAt: fc.double({ min: BEGAN, max: BEGAN + 1000, noNaN: true }),
    ppm: fc.double({ min: -100, max: 100, noNaN: true }),
    wavePpm: fc.double({ min: -14, max: 14, noNaN: true }),
  });
  const sent = fc.array(
    fc.record({
      gapMs: fc.double({ min: 100_000, max: 8 * HOUR, noNaN: true }),
      upMs: fc.double({ min: 0, max: 90_000, noNaN: true }),
      downMs: fc.option(fc.double({ min: 0, max: 9_000, noNaN: true })),
    }),
    { minLength: 2, maxLength: 60 },
  );

  it('keeps the truth inside the interval of every moment, whatever crystal and network', () => {
    fc.assert(
      fc.property(
        crystal,
        sent,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 }),
        (x, gaps, at) => {
          let uptimeMs = 0;
          const reports = gaps.map(({ gapMs, ...rest }) => ({ ...rest, uptimeMs: (uptimeMs += gapMs) }));
          const known = run(x, reports);
          const life = new DeviceLife([lived('a', known)]);
          expect(known.faults).toEqual([]);
          for (const moment of [...reports.map((report) => report.uptimeMs), ...at.map((share) => share * uptimeMs)]) {
            const placed = life.place({ bootId: 'a', segment: 0, uptimeMs: Math.floor(moment), arrivedBy: NEVER_MIND });
            expect(placed.latest).toBeGreaterThanOrEqual(trueAt(x, moment));
            if (placed.earliest !== null) expect(placed.earliest).toBeLessThanOrEqual(trueAt(x, moment));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('learns the rate, so that what waited for hours is known to a fraction of a second', () => {
    const x = { beganAt: BEGAN, ppm: 80, wavePpm: 10 };
    const online = everyFiveMinutes(24, 40, 40);
    const after = [
      { uptimeMs: 36 * HOUR, upMs: 40, downMs: 40 },
      { uptimeMs: 36 * HOUR + 1000, upMs: 40, downMs: 40 },
    ];
    const life = new DeviceLife([lived('a', run(x, [...online, ...after]))]);
    const placed = life.place({ bootId: 'a', segment: 0, uptimeMs: 30 * HOUR, arrivedBy: NEVER_MIND });
    expect(placed.basis).toBe('extrapolated');
    expect(placed.latest - (placed.earliest ?? 0)).toBeLessThan(800);
    const near = life.place({ bootId: 'a', segment: 0, uptimeMs: 5 * HOUR, arrivedBy: NEVER_MIND });
    expect(near.basis).toBe('exchanged');
    expect(near.latest - (near.earliest ?? 0)).toBeLessThan(100);
  });

  it('puts bounds away that are no longer at hand, and places old moments by them as well as ever', () => {
    const x = { beganAt: BEGAN, ppm: -60, wavePpm: 12 };
    const noisy = everyFiveMinutes(24 * 10, 40, 40).map((report, n) => ({ ...report, upMs: 30 + ((n * 37) % 60) }));
    const known = run(x, noisy);
    expect(known.closed.length).toBeGreaterThan(3);
    expect(JSON.stringify(known.record).length).toBeLessThan(4000);
    const life = new DeviceLife([lived('a', known)]);
    const old = life.place({ bootId: 'a', segment: 0, uptimeMs: 12 * HOUR, arrivedBy: NEVER_MIND });
    expect(old.latest - (old.earliest ?? 0)).toBeLessThan(200);
  });

  it('places what came before the first exchange as well after its bounds were put away', () => {
    const x = { beganAt: BEGAN, ppm: 90, wavePpm: 12 };
    const offline = [{ uptimeMs: 5000, upMs: 20 * MINUTE, downMs: null }];
    const online = everyFiveMinutes(24 * 10, 40, 40).map((report, n) => ({
      ...report,
      uptimeMs: report.uptimeMs + 20 * MINUTE,
      upMs: 30 + ((n * 37) % 60),
    }));
    const known = run(x, [...offline, ...online]);
    expect(known.closed.length).toBeGreaterThan(3);
    const life = new DeviceLife([lived('a', known)]);
    const first = life.place({ bootId: 'a', segment: 0, uptimeMs: 5000, arrivedBy: NEVER_MIND });
    expect(first.latest - (first.earliest ?? 0)).toBeLessThan(300);
  });
});

describe('a clock that breaks the assumptions', () => {
  const arrivedBy = NEVER_MIND;

  it('is doubted when it jumps, believed when it goes on, and wide in between', () => {
    const before = run({ beganAt: BEGAN, ppm: 5, wavePpm: 0 }, everyFiveMinutes(4, 50, 50));
    // Suspended for an hour without saying so.
    const after = { beganAt: BEGAN + HOUR, ppm: 5, wavePpm: 0 };
    let { record } = before;
    const faults: string[] = [];
    for (const [n, report] of everyFiveMinutes(3, 50, 50).entries()) {
      const uptimeMs = 5 * HOUR + report.uptimeMs;
      const receivedAt = wallMs(Math.floor(trueAt(after, uptimeMs) + 50));
      const asked = uptimeMs - 1000;
      const exchanges =
        n % 6 === 1
          ? [
              {
                requestUptimeMs: asked,
                cloudReceivedAt: wallMs(Math.floor(trueAt(after, asked) + 50)),
                cloudSentAt: wallMs(Math.floor(trueAt(after, asked) + 55)),
                responseUptimeMs: asked + 105,
                cloudErrorMs: 0,
              },
            ]
          : [];
      const observed = observe(record, { uptimeMs, receivedAt, wallMs: null, exchanges, cloudErrorMs: 0 });
      ({ clock: record } = observed);
      faults.push(...observed.faults);
    }
    expect(faults).toEqual(['clock_contradiction', 'clock_contradiction']);
    const life = new DeviceLife([{ bootId: 'a', segment: 0, record, closed: before.closed }]);
    const at = (uptimeMs: number) => life.place({ bootId: 'a', segment: 0, uptimeMs, arrivedBy });
    const contains = (uptimeMs: number, crystal: Crystal): void => {
      const { earliest, latest } = at(uptimeMs);
      expect(earliest ?? 0).toBeLessThanOrEqual(trueAt(crystal, uptimeMs));
      expect(latest).toBeGreaterThanOrEqual(trueAt(crystal, uptimeMs));
    };
    contains(2 * HOUR, { beganAt: BEGAN, ppm: 5, wavePpm: 0 });
    contains(7 * HOUR, after);
    // Nobody knows when in this hour it slept.
    contains(4.5 * HOUR, after);
    contains(4.5 * HOUR, { beganAt: BEGAN, ppm: 5, wavePpm: 0 });
    expect(at(7 * HOUR).latest - (at(7 * HOUR).earliest ?? 0)).toBeLessThan(1000);
  });

  it('does no harm to the others with one absurd uptime', () => {
    const x = { beganAt: BEGAN, ppm: 5, wavePpm: 0 };
    const { record } = run(x, everyFiveMinutes(4, 50, 50));
    const year = 365 * 24 * HOUR;
    const absurd = observe(record, {
      uptimeMs: year,
      receivedAt: wallMs(BEGAN + 4 * HOUR),
      wallMs: null,
      exchanges: [],
      cloudErrorMs: 0,
    });
    expect(absurd.faults).toEqual(['clock_contradiction']);
    const place = (of: ClockRecord, uptimeMs: number) =>
      new DeviceLife([{ bootId: 'a', segment: 0, record: of, closed: [] }]).place({
        bootId: 'a',
        segment: 0,
        uptimeMs,
        arrivedBy: wallMs(BEGAN + 4 * HOUR),
      });
    expect(place(absurd.clock, 2 * HOUR)).toEqual(place(record, 2 * HOUR));
    expect(absurd.clock.lastUptimeMs).toBe(record.lastUptimeMs);
    expect(place(absurd.clock, year).earliest).toBeNull();
  });

  it('wanders more than a crystal: told, and given room', () => {
    const x = { beganAt: BEGAN, ppm: 0, wavePpm: 60 };
    const known = run(x, everyFiveMinutes(48, 20, 20));
    expect(known.faults).toContain('clock_unsteady');
    expect(known.record.era.region.wander).toBeGreaterThanOrEqual(60e-6);
  });
});

describe('a device that contradicts itself for ever', () => {
  it('keeps a doubt of bounded size, and what was known of the clock', () => {
    const known = run({ beganAt: BEGAN, ppm: 0, wavePpm: 0 }, everyFiveMinutes(1, 20, 20)).record;
    let record = known;
    for (let n = 1; n <= 200; n++) {
      const receivedAt = wallMs(BEGAN + HOUR + n * MINUTE);
      // Ahead by hours, and slow by so little that no arrival follows from another.
      const uptimeMs = 4 * HOUR + n * (MINUTE - 5);
      record = observe(record, { uptimeMs, receivedAt, wallMs: null, exchanges: [], cloudErrorMs: 0 }).clock;
    }
    expect(record.contradictions).toBe(200);
    expect(record.doubt?.era.region.upper.length).toBeLessThanOrEqual(16);
    expect(record.era).toEqual(known.era);
  });
});

describe('a boot that never exchanged', () => {
  const online = (beganAt: number) => run({ beganAt, ppm: 10, wavePpm: 0 }, everyFiveMinutes(2, 50, 50));
  const silent = (wallAhead: number | null) => {
    const receivedAt = wallMs(BEGAN + 20 * HOUR);
    const wall = wallAhead === null ? null : wallMs(BEGAN + 5 * HOUR + 1000 + wallAhead);
    return observe(null, { uptimeMs: 1000, receivedAt, wallMs: wall, exchanges: [], cloudErrorMs: 0 }).clock;
  };
  const withWall = (clock: ClockRecord, skewMs: number): ClockRecord => {
    const offset = BEGAN + skewMs;
    const wall = {
      firstUptimeMs: 1000,
      firstOffsetMs: offset,
      uptimeMs: 2 * HOUR,
      offsetMs: offset,
      steps: 0,
      lastStepMs: null,
    };
    return { ...clock, wall };
  };
  const moment = { bootId: 'b', segment: 0, uptimeMs: 1000, arrivedBy: wallMs(BEGAN + 20 * HOUR) };
  const [first, last] = [online(BEGAN), online(BEGAN + 10 * HOUR)];

  it('lies between the boots before and after it', () => {
    const clocks = [lived('a', first), { bootId: 'b', segment: 0, record: silent(null), closed: [] }, lived('c', last)];
    const placed = new DeviceLife(clocks).place(moment);
    expect(placed.basis).toBe('neighbour');
    expect(placed.earliest).toBeGreaterThan(BEGAN + 1.9 * HOUR);
    expect(placed.earliest).toBeLessThan(BEGAN + 2 * HOUR + 2000);
    expect(placed.latest).toBeGreaterThanOrEqual(BEGAN + 10 * HOUR);
    expect(placed.latest).toBeLessThan(BEGAN + 10 * HOUR + 1000);
  });

  it('is placed by its wall clock when its neighbours prove that right', () => {
    const b = { bootId: 'b', segment: 0, record: silent(40), closed: [] };
    const clocks = [lived('a', { ...first, record: withWall(first.record, 30) }), b, lived('c', last)];
    const placed = new DeviceLife(clocks).place(moment);
    expect(placed.basis).toBe('device-clock');
    expect(placed.estimate).toBe(BEGAN + 5 * HOUR + 1040);
    expect(placed.latest - (placed.earliest ?? 0)).toBeLessThan(10_000);
  });

  it.each([
    ['was wrong in the boot before', 3 * HOUR, 40],
    ['claims what cannot be', 30, 9 * HOUR],
  ])('is not when the clock %s', (_why, skewBefore, ahead) => {
    const b = { bootId: 'b', segment: 0, record: silent(ahead), closed: [] };
    const clocks = [lived('a', { ...first, record: withWall(first.record, skewBefore) }), b, lived('c', last)];
    expect(new DeviceLife(clocks).place(moment).basis).toBe('neighbour');
  });
});
