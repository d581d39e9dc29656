import { readingOf } from '@paddock/agent/sense/reading.ts';
import { observe, settle, settlesAt, UNSEEN, type SensorInput, type SensorState } from '@paddock/agent/sense/sensor.ts';
import type { SensorConfig } from '@paddock/agent/sense/settings.ts';
import { QUALITY_REASONS } from '@paddock/shared/report.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { at, sensorOf } from '../../../harness/agent/sense.ts';

const DOOR = sensorOf('kind: binary, debounceMs: 50, maxAgeMs: 1000, chatter: { changes: 3, windowMs: 500 }');
const POWER = sensorOf('kind: number, unit: kW, range: [0, 22], maxAgeMs: 1000, flatlineAfterMs: 3000');
const STATE = sensorOf('kind: enum, values: [free, busy], maxAgeMs: 1000');
const LABEL = sensorOf('kind: text, maxAgeMs: 1000');

type Step = [ms: number, value: boolean | number | string] | [ms: number, fault: { reason: 'checksum' | 'unplugged' }];

const inputOf = ([ms, what]: Step): SensorInput =>
  typeof what === 'object'
    ? { kind: 'fault', reason: what.reason, at: at(ms) }
    : { kind: 'sample', value: what, at: at(ms) };
const after = (config: SensorConfig, ...steps: Step[]): SensorState =>
  steps.reduce((state, step) => observe(config, state, inputOf(step)), UNSEEN);
const reading = (config: SensorConfig, ms: number, ...steps: Step[]) =>
  readingOf(config, after(config, ...steps), at(ms));

describe('a sensor', () => {
  it('has no value before its first sample', () => {
    expect(reading(DOOR, 10)).toEqual({
      value: null,
      ageMs: null,
      quality: 'bad',
      reason: 'no-sample',
      changes: 0,
      changedAgoMs: null,
    });
    expect(reading(LABEL, 10)).toEqual({ value: null, ageMs: null, quality: 'bad', reason: 'no-sample' });
  });

  it('tells no more decimals than mean something, and judges by all of them', () => {
    const rounded = sensorOf('kind: number, decimals: 1, flatlineAfterMs: 100');
    expect(reading(rounded, 0, [0, 230.4499969])).toMatchObject({ value: 230.4 });
    expect(reading(rounded, 0, [0, -0.01])).toMatchObject({ value: 0 });
    expect(Object.is(reading(rounded, 0, [0, -0.01]).value, -0)).toBe(false);
    expect(reading(rounded, 200, [0, 230.41], [200, 230.42])).not.toHaveProperty('reason');
    expect(reading(rounded, 200, [0, 230.41], [200, 230.41])).toMatchObject({ value: 230.4, reason: 'flatline' });
    expect(reading(sensorOf('kind: number, decimals: 0'), 0, [0, 1.5e21])).toMatchObject({ value: 1.5e21 });
    expect(reading(sensorOf('kind: number'), 0, [0, 230.4499969])).toMatchObject({ value: 230.4499969 });
  });

  it('says how long a value has held while no change was seen', () => {
    expect(reading(DOOR, 700, [100, false], [600, false])).toEqual({
      value: false,
      ageMs: 100,
      changes: 0,
      changedAgoMs: null,
      heldForMs: 600,
    });
  });

  it('counts a change once it has stood for the debounce time, at its first sample', () => {
    const steps: Step[] = [
      [0, false],
      [100, true],
      [120, true],
    ];
    expect(reading(DOOR, 149, ...steps)).toMatchObject({ value: false, changes: 0 });
    expect(reading(DOOR, 150, ...steps)).toEqual({ value: true, ageMs: 30, changes: 1, changedAgoMs: 50 });
  });

  it('counts a change that only one sample told of', () => {
    expect(settlesAt(DOOR, after(DOOR, [0, false], [100, true]))).toBe(150);
    expect(reading(DOOR, 151, [0, false], [100, true])).toMatchObject({ value: true, changes: 1, changedAgoMs: 51 });
  });

  it('counts a change that was over before anyone looked', () => {
    expect(reading(DOOR, 400, [0, false], [100, true], [300, false])).toMatchObject({
      value: false,
      changes: 2,
      changedAgoMs: 100,
    });
  });

  it('forgets what bounced back in time', () => {
    expect(reading(DOOR, 400, [0, false], [100, true], [140, false])).toMatchObject({ value: false, changes: 0 });
  });

  it('counts at once without a debounce time', () => {
    expect(reading(STATE, 60, [0, 'free'], [50, 'busy'])).toEqual({
      value: 'busy',
      ageMs: 10,
      changes: 1,
      changedAgoMs: 10,
    });
  });

  it('compares the values before and after a fault', () => {
    const through = (value: boolean): Step[] => [
      [0, false],
      [100, { reason: 'unplugged' }],
      [900, value],
    ];
    expect(reading(DOOR, 950, ...through(true))).toMatchObject({ value: true, changes: 1, changedAgoMs: 50 });
    expect(reading(DOOR, 950, ...through(false))).toMatchObject({ value: false, changes: 0, heldForMs: 50 });
  });

  it('settles nothing while nobody knows the value', () => {
    const steps: Step[] = [
      [0, false],
      [100, true],
      [110, { reason: 'checksum' }],
    ];
    expect(reading(DOOR, 900, ...steps)).toMatchObject({ value: null, reason: 'checksum', changes: 0 });
    expect(reading(DOOR, 900, ...steps, [890, true])).toMatchObject({ value: true, changes: 1, changedAgoMs: 800 });
  });

  it('does not claim that a value held while its samples were stale', () => {
    expect(reading(DOOR, 5100, [0, false], [5000, false])).toMatchObject({ heldForMs: 100 });
  });

  it('has no value when its last sample is older than it may be', () => {
    expect(reading(POWER, 1000, [0, 7])).toEqual({ value: 7, unit: 'kW', ageMs: 1000 });
    expect(reading(POWER, 1001, [0, 7])).toEqual({
      value: null,
      unit: 'kW',
      ageMs: 1001,
      quality: 'bad',
      reason: 'stale',
    });
  });

  it.each(QUALITY_REASONS)('has no value after the fault %s, until a good sample', (reason) => {
    const failed = observe(DOOR, after(DOOR, [0, false]), { kind: 'fault', reason, at: at(10) });
    expect(readingOf(DOOR, failed, at(20))).toMatchObject({ value: null, quality: 'bad', reason, ageMs: 20 });
    const well = observe(DOOR, failed, { kind: 'sample', value: false, at: at(30) });
    expect(readingOf(DOOR, well, at(40))).toEqual({
      value: false,
      ageMs: 10,
      changes: 0,
      changedAgoMs: null,
      heldForMs: 10,
    });
  });

  it('has no value when what was read cannot be true', () => {
    expect(reading(POWER, 20, [0, 7], [10, 23])).toMatchObject({ value: null, quality: 'bad', reason: 'out-of-range' });
    expect(reading(POWER, 20, [0, 7], [10, 'seven'])).toMatchObject({
      value: null,
      quality: 'bad',
      reason: 'malformed',
    });
    expect(reading(STATE, 20, [0, 'free'], [10, 'fere'])).toMatchObject({
      value: null,
      reason: 'malformed',
      changes: 0,
    });
  });

  it('knows neither a value nor a time after the machine slept, until a good sample', () => {
    const before = after(DOOR, [0, false], [100, true], [160, true], [170, false]);
    const slept = observe(DOOR, before, { kind: 'suspended', at: at(180) });
    const awake = readingOf(DOOR, slept, at(181));
    expect(awake).toEqual({
      value: null,
      ageMs: null,
      quality: 'bad',
      reason: 'stale',
      changes: 1,
      changedAgoMs: null,
    });
    expect(readingOf(DOOR, slept, at(900))).toEqual(awake);
    const same = observe(DOOR, slept, { kind: 'sample', value: true, at: at(200) });
    expect(readingOf(DOOR, same, at(290))).toEqual({
      value: true,
      ageMs: 90,
      changes: 1,
      changedAgoMs: null,
      heldForMs: 90,
    });
    const other = observe(DOOR, slept, { kind: 'sample', value: false, at: at(200) });
    expect(readingOf(DOOR, other, at(290))).toEqual({ value: false, ageMs: 90, changes: 2, changedAgoMs: 90 });
  });

  it('says no more after a suspend than it did before one', () => {
    const asleep = (...steps: Step[]) =>
      readingOf(POWER, observe(POWER, after(POWER, ...steps), { kind: 'suspended', at: at(100) }), at(100));
    expect(asleep()).toMatchObject({ value: null, reason: 'no-sample' });
    expect(asleep([0, 7], [90, { reason: 'unplugged' }])).toMatchObject({ value: null, reason: 'unplugged' });
  });

  it('does not take the time of a suspend for one in which a number did not move', () => {
    const slept = observe(POWER, after(POWER, [0, 7]), { kind: 'suspended', at: at(0) });
    const flat = (end: number) =>
      Array.from({ length: 7 }, (_, i) => 100 + (i * (end - 100)) / 6).reduce(
        (state, ms) => observe(POWER, state, { kind: 'sample', value: 7, at: at(ms) }),
        slept,
      );
    expect(readingOf(POWER, flat(3099), at(3099))).not.toHaveProperty('reason');
    expect(readingOf(POWER, flat(3100), at(3100))).toMatchObject({ reason: 'flatline' });
  });

  it('suspects a number that does not move', () => {
    const flat: Step[] = Array.from({ length: 7 }, (_, i) => [i * 500, 7]);
    expect(reading(POWER, 3000, ...flat.slice(0, 6))).toEqual({ value: 7, unit: 'kW', ageMs: 500 });
    expect(reading(POWER, 3000, ...flat)).toMatchObject({ value: 7, quality: 'suspect', reason: 'flatline' });
    expect(reading(POWER, 3500, ...flat, [3500, 7.1])).toEqual({ value: 7.1, unit: 'kW', ageMs: 0 });
  });

  it('suspects a contact that chatters, until it has been quiet for the window', () => {
    const bounces: Step[] = Array.from({ length: 5 }, (_, i) => [i * 20, i % 2 === 1]);
    expect(reading(DOOR, 100, ...bounces.slice(0, 4))).toEqual({
      value: false,
      ageMs: 40,
      changes: 0,
      changedAgoMs: null,
      heldForMs: 100,
    });
    expect(reading(DOOR, 100, ...bounces)).toMatchObject({
      value: false,
      quality: 'suspect',
      reason: 'chatter',
      changes: 0,
    });
    expect(reading(DOOR, 600, ...bounces, [590, false])).toMatchObject({ value: false, ageMs: 10, changes: 0 });
    expect(reading(DOOR, 600, ...bounces, [590, false])).not.toHaveProperty('quality');
  });

  it('lets no time run backwards', () => {
    expect(reading(DOOR, 90, [100, false], [50, true])).toMatchObject({ ageMs: 0, value: false });
  });
});

const step = fc.record({
  gapMs: fc.oneof(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 1500 })),
  what: fc.oneof(
    { weight: 6, arbitrary: fc.record({ value: fc.constantFrom(true, false, 1, 'free', 'busy', 'x', 7, 30) }) },
    { weight: 1, arbitrary: fc.record({ reason: fc.constantFrom(...QUALITY_REASONS) }) },
  ),
  lookAfterMs: fc.integer({ min: 0, max: 2500 }),
});

describe.each([
  ['binary', DOOR],
  ['number', POWER],
  ['enum', STATE],
  ['text', LABEL],
])('any %s sensor, whatever happens to it', (_kind, config) => {
  it('counts up only, has no value when bad, no age below zero, and nothing fresh that is old', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let state = UNSEEN;
        let now = 0;
        for (const { gapMs, what, lookAfterMs } of steps) {
          now += gapMs;
          const input: SensorInput =
            'reason' in what ? { kind: 'fault', ...what, at: at(now) } : { kind: 'sample', ...what, at: at(now) };
          const next = observe(config, state, input);
          expect(next.changes).toBeGreaterThanOrEqual(state.changes);
          state = next;
          const { value, ageMs, quality, changes = 0, changedAgoMs } = readingOf(config, state, at(now + lookAfterMs));
          expect(value === null).toBe(quality === 'bad');
          expect(changes).toBeGreaterThanOrEqual(state.changes);
          expect((changedAgoMs ?? null) !== null).toBe(changes > 0);
          for (const age of [ageMs ?? 0, changedAgoMs ?? 0]) expect(age).toBeGreaterThanOrEqual(0);
          if (ageMs === null || ageMs > config.maxAgeMs) expect(value).toBeNull();
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is the same whether anyone looked in between or not', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let [plain, watched] = [UNSEEN, UNSEEN];
        let now = 0;
        for (const { gapMs, what } of steps) {
          // A look in the middle of every gap, as the timer of a pending change takes one.
          watched = settle(config, watched, at(now + gapMs / 2));
          now += gapMs;
          const input: SensorInput =
            'reason' in what ? { kind: 'fault', ...what, at: at(now) } : { kind: 'sample', ...what, at: at(now) };
          plain = observe(config, plain, input);
          watched = observe(config, watched, input);
          expect(watched).toEqual(plain);
        }
      }),
    );
  });
});
