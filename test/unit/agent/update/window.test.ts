import { windowCheck } from '@paddock/agent/update/window.ts';
import { WEEKDAYS, type MaintenanceWindow } from '@paddock/shared/desired.ts';
import { wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const isOpen = (window: MaintenanceWindow, at: number): boolean =>
  windowCheck(window)({ earliest: wallMs(at), latest: wallMs(at) });
const utc = (text: string): number => Date.parse(`${text}:00.000Z`);

describe('a window', () => {
  it.each([
    ['2026-11-28T01:59', false],
    ['2026-11-28T02:00', true],
    ['2026-11-28T03:59', true],
    ['2026-11-28T04:00', false],
  ])('from 03:00 to 05:00 in Berlin is open at %s UTC: %s', (at, open) => {
    expect(isOpen({ zone: 'Europe/Berlin', from: '03:00', to: '05:00' }, utc(at))).toBe(open);
  });

  it('over midnight belongs to the day that it begins on', () => {
    const window: MaintenanceWindow = { zone: 'UTC', days: ['sat'], from: '22:00', to: '02:00' };
    expect(isOpen(window, utc('2026-11-28T23:00'))).toBe(true);
    expect(isOpen(window, utc('2026-11-29T01:59'))).toBe(true);
    expect(isOpen(window, utc('2026-11-29T22:30'))).toBe(false);
    expect(isOpen(window, utc('2026-11-28T01:00'))).toBe(false);
  });

  it('that clock change leaves out is not there, and that it repeats is there twice', () => {
    const window: MaintenanceWindow = { zone: 'Europe/Berlin', from: '02:00', to: '03:00' };
    const openMinutes = (day: string): number =>
      Array.from({ length: 24 * 60 }, (_, n) => utc(`${day}T00:00`) + n * 60_000).filter((at) => isOpen(window, at))
        .length;
    expect(openMinutes('2026-03-29')).toBe(0);
    expect(openMinutes('2026-10-25')).toBe(120);
    expect(openMinutes('2026-06-01')).toBe(60);
  });

  it('is closed while nobody knows the time well enough to say', () => {
    const check = windowCheck({ zone: 'UTC', from: '03:00', to: '05:00' });
    const [inside, outside] = [wallMs(utc('2026-11-28T04:00')), wallMs(utc('2026-11-28T05:30'))];
    expect(check({ earliest: inside, latest: null })).toBe(false);
    expect(check({ earliest: inside, latest: outside })).toBe(false);
    expect(windowCheck(undefined)({ earliest: inside, latest: null })).toBe(true);
  });

  it('is closed while the time may lie outside, also between two openings', () => {
    const check = windowCheck({ zone: 'UTC', from: '03:00', to: '02:30' });
    const between = (from: string, to: string): boolean =>
      check({ earliest: wallMs(utc(`2026-11-28T${from}`)), latest: wallMs(utc(`2026-11-28T${to}`)) });
    expect(between('01:00', '02:29')).toBe(true);
    expect(between('02:20', '03:10')).toBe(false);
    const always = windowCheck({ zone: 'UTC', from: '00:00', to: '00:00' });
    const noon = utc('2026-11-28T12:00');
    expect(always({ earliest: wallMs(noon), latest: wallMs(noon + 20 * 3_600_000) })).toBe(true);
    expect(always({ earliest: wallMs(noon), latest: wallMs(noon + 25 * 3_600_000) })).toBe(false);
  });

  it('is open for as long as the clock on the wall goes from its beginning to its end', () => {
    const times = fc.integer({ min: 0, max: 1_439 });
    const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe');
    const text = (minute: number): string =>
      `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
    fc.assert(
      fc.property(zones, times, times, fc.integer({ min: 0, max: 366 * 1_440 }), (zone, from, to, offset) => {
        const at = Date.UTC(2026, 0, 1) + offset * 60_000;
        const window: MaintenanceWindow = { zone, from: text(from), to: text(to) };
        const [, hours = '', minutes = ''] =
          /(\d\d):(\d\d)/.exec(new Date(at).toLocaleString('sv-SE', { timeZone: zone })) ?? [];
        const local = Number(hours) * 60 + Number(minutes);
        const isWithin = from < to ? local >= from && local < to : local >= from || local < to;
        expect(isOpen(window, at)).toBe(isWithin);
        expect(isOpen({ ...window, days: [...WEEKDAYS] }, at)).toBe(isWithin);
        const days = WEEKDAYS.filter((day) => isOpen({ ...window, days: [day] }, at));
        expect(days.length).toBe(isWithin ? 1 : 0);
      }),
      { numRuns: 300 },
    );
  });
});
