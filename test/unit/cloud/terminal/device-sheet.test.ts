import { expect, test } from 'vitest';
import { deviceSheet, span } from '@paddock/cloud/terminal/device-sheet.ts';

const CLOCK = {
  skewMs: 61_000,
  skewErrorMs: 120,
  driftPpm: { lowest: -3.1, highest: 12 },
  lastExchangeAgeMs: 240_000,
  steps: 2,
  lastStepMs: -5_200,
  faults: [{ code: 'wall_stepped', title: 'The wall clock was set, or jumped' }],
};
const DELIVERY = {
  recorded: 7,
  newestSequence: 11,
  missing: 5,
  droppedRoutine: 2,
  droppedEvents: 0,
  refused: 1,
  abandoned: 0,
  lostOrOnTheWay: 2,
  waiting: 3,
};

test('what a device drives is a table of its own', () => {
  const outputs = {
    light: { state: 'applied', desired: true, actual: true },
    fan: { state: 'failed', desired: 40, actual: null, error: { code: 'output_no_answer', detail: 'no answer' } },
  };
  const told = deviceSheet({ deviceId: 'k-1', readings: {}, outputs }, []);
  expect(told).toMatch(/OUTPUT +DESIRED +ACTUAL +STATE +WHY\n/);
  expect(told).toMatch(/\nlight +true +true +applied +-/);
  expect(told).toMatch(/\nfan +40 +- +failed +output_no_answer \(no answer\)/);
});

test('a device is told in words: how far its clock is off, what is missing and why, what changed when', () => {
  const time = {
    earliest: '2026-11-23T20:00:00.000Z',
    latest: '2026-11-23T20:00:01.000Z',
    estimate: 'T',
    basis: 'exchanged',
  };
  const lastReport = { start: 3, sequence: 9, trigger: { kind: 'schedule' }, time };
  const device = {
    deviceId: 'k-1',
    lastReport,
    readings: { door: { value: true, ageMs: 3 } },
    clock: CLOCK,
    delivery: DELIVERY,
  };
  const told = deviceSheet(device, [{ sensor: 'door', value: true, unseen: 2, time }]);
  expect(told.split('\n')).toEqual([
    'deviceId    k-1',
    'lastReport  T (500 ms, exchanged), schedule, start 3, sequence 9',
    '',
    'wall clock    ahead by 61 s, give or take 120 ms',
    'drift         runs fast by -3.1 to 12 ppm',
    'exchange      4 min before the newest report',
    'set           2 times, last by -5.2 s',
    'clock faults  wall_stepped (The wall clock was set, or jumped)',
    '',
    "reports  7 of 12 recorded since the agent's start",
    'missing  5: 2 routine reports dropped by its outbox, 1 refused for ever, 2 lost or on the way',
    'waiting  3 in the outbox of the device',
    '',
    'SENSOR  VALUE  UNIT  QUALITY  AGE MS  CHANGED AGO MS',
    'door    true   -     good     3       -',
    '',
    'CHANGED  RIGHT TO  KNOWN BY   SENSOR  TO    UNSEEN BEFORE',
    'T        500 ms    exchanged  door    true  2',
  ]);
});

test('what is not known is not made up', () => {
  const shown = (clock: object) => deviceSheet({ clock: { ...CLOCK, ...clock } }, []);
  expect(shown({ skewMs: null })).toContain('wall clock    not known');
  expect(shown({ skewMs: 100 })).toContain('right, as far as can be told (to 120 ms)');
  expect(shown({ skewMs: -86_400_000 * 20_000, skewErrorMs: null })).toContain('behind by at most 20000 d');
  expect(shown({ skewErrorMs: null })).toContain('ahead by at least 61 s');
  expect(shown({ driftPpm: null, lastExchangeAgeMs: null, steps: 0, faults: [] })).toContain('none in this boot');
  expect(deviceSheet({ deviceId: 'k-1', clock: null, delivery: null, readings: {} }, [])).not.toContain('wall clock');
});

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1_500, '1.5 s'],
  [119_000, '119 s'],
  [600_000, '10 min'],
  [86_400_000, '24 h'],
  [864_000_000, '10 d'],
])('%i ms is told as %s', (ms, told) => expect(span(ms)).toBe(told));
