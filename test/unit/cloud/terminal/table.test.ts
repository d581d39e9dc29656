import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eventLine } from '@paddock/cloud/terminal/event-line.ts';
import { plain, sheet, table } from '@paddock/cloud/terminal/table.ts';

test('columns are as wide as their widest value', () => {
  const columns = [
    { heading: 'ID', show: (row: { id: string }) => row.id },
    { heading: 'SIZE', show: (row: { id: string }) => row.id.length },
  ];
  expect(table([{ id: 'a' }, { id: 'longer' }], columns)).toBe('ID      SIZE\na       1\nlonger  6');
  expect(table([], columns)).toBe('ID  SIZE');
});

test('one thing is a line an attribute; nothing is a dash', () => {
  expect(sheet({ name: 'Hall', siteId: null, host: { load1: 1 } })).toBe(
    'name    Hall\nsiteId  -\nhost    {"load1":1}',
  );
});

test('no text can steer the terminal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(plain(text)).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test('an event says what happened, and what is not good', () => {
  expect(eventLine('presence', { deviceId: 'k-1', presence: 'lost', previous: 'late', since: 'T' })).toBe(
    'T  k-1  late -> lost',
  );
  const state = {
    deviceId: 'k-1',
    presence: 'online',
    lastReport: { receivedAt: 'T', trigger: { kind: 'schedule' } },
    readings: { power: { value: 7.2, unit: 'kW' }, door: { value: null, quality: 'bad', reason: 'unplugged' } },
  };
  expect(eventLine('state', state)).toBe('T  k-1  online  schedule  power=7.2 kW  door=- (bad: unplugged)');
});
