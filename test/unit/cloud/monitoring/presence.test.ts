import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ALLOWANCE, presenceOf, PRESENCES, type LifeSigns } from '@paddock/cloud/monitoring/presence.ts';
import { PRESENCE_WORDS, type Presence } from '@paddock/cloud/devices/presence.ts';
import { wallMs } from '@paddock/shared/time.ts';

const T = 1_800_000_000_000;
const MINUTE = 60_000;
const LATE = 5 * MINUTE + ALLOWANCE.graceMs;
const LOST = LATE * ALLOWANCE.lostAfter;
const heard = { at: wallMs(T), nextWithinMs: 5 * MINUTE, goodbye: false };
const judged = (state: Presence, heardAt: number | null = T) => ({
  state,
  heardAt: heardAt === null ? null : wallMs(heardAt),
});

describe('presence', () => {
  test.each<[string, Partial<LifeSigns>, listeningSince: number | null, now: number, Presence]>([
    ['nothing was ever heard', { heard: null }, T, T, 'never-seen'],
    ['it is retired, whatever it says', { retired: true }, T, T, 'retired'],
    ['it was just heard', {}, T, T, 'online'],
    ['its next report is due', {}, T, T + LATE, 'online'],
    ['its next report is overdue', {}, T, T + LATE + 1, 'late'],
    ['it is silent for long', {}, T, T + LOST, 'late'],
    ['it is silent for too long', {}, T, T + LOST + 1, 'lost'],
    ['it said goodbye', { heard: { ...heard, goodbye: true } }, T, T + 10 * LOST, 'offline'],
    ['it came back after a goodbye', { judged: judged('offline', T - 1) }, T, T, 'online'],
    ['it came back from being lost', { judged: judged('lost', T - 1) }, T, T, 'online'],
    ['we began to listen long after', {}, T + 10 * LOST, T + 10 * LOST + LATE, 'online'],
    ['we have listened for its allowance since', {}, T + 10 * LOST, T + 10 * LOST + LATE + 1, 'late'],
    ['nobody listens', { judged: judged('online') }, null, T + 10 * LOST, 'online'],
    ['nobody listens, and it was late before', { judged: judged('late') }, null, T + 10 * LOST, 'late'],
    ['we listen anew, and it was lost before', { judged: judged('lost') }, T + LOST, T + LOST, 'lost'],
    ['we listen anew, and it was late before', { judged: judged('late') }, T + LOST, T + LOST, 'late'],
    ['a report came while nobody listens', { judged: judged('lost', T - 1) }, null, T, 'online'],
    ['the clock went back', {}, T, T - 10 * LOST, 'online'],
    [
      'it asks to be left alone for a year',
      { heard: { ...heard, nextWithinMs: 365 * 86_400_000 } },
      T,
      T + 4 * 86_400_000,
      'lost',
    ],
    ['it was retired by mistake', { judged: judged('retired') }, T, T, 'online'],
  ])('when %s', (_, signs, since, now, presence) => {
    const life = { retired: false, heard, judged: null, ...signs };
    expect(presenceOf(life, since === null ? null : wallMs(since), wallMs(now))).toBe(presence);
  });

  test('the table knows every word', () => {
    expect(Object.keys(PRESENCES).toSorted()).toEqual([...PRESENCE_WORDS].toSorted());
  });
});

const moment = fc.integer({ min: T - 1_000_000_000, max: T + 1_000_000_000 }).map(wallMs);
const signs = fc.record({
  retired: fc.boolean(),
  heard: fc.option(fc.record({ at: moment, nextWithinMs: fc.nat(), goodbye: fc.boolean() })),
  judged: fc.option(fc.record({ state: fc.constantFrom(...PRESENCE_WORDS), heardAt: fc.option(moment) })),
});
const silence = (presence: Presence): number => PRESENCES[presence].silence ?? -1;

describe('silence', () => {
  test('only ever gets worse while nothing is heard, whoever listens when', () => {
    const looks = fc.array(fc.record({ afterMs: fc.nat(10_000_000), since: fc.option(moment) }), {
      minLength: 2,
      maxLength: 8,
    });
    fc.assert(
      fc.property(signs, looks, (first, rounds) => {
        let now = T;
        let life: LifeSigns = first;
        let before = presenceOf(life, null, wallMs(now));
        for (const { afterMs, since } of rounds) {
          now += afterMs;
          life = { ...life, judged: { state: before, heardAt: first.heard?.at ?? null } };
          const after = presenceOf(life, since, wallMs(now));
          expect(silence(after)).toBeGreaterThanOrEqual(silence(before));
          before = after;
        }
      }),
    );
  });

  test('makes nobody late or lost while nobody listens', () => {
    fc.assert(
      fc.property(signs, moment, (life, now) => {
        const after = presenceOf(life, null, now);
        if (silence(after) > 0) expect(after).toBe(life.judged?.state);
      }),
    );
  });

  test('is never counted from before we listened', () => {
    fc.assert(
      fc.property(signs, moment, fc.nat(ALLOWANCE.graceMs), (life, since, forMs) => {
        const after = presenceOf(life, since, wallMs(since + forMs));
        if (silence(after) > 0) expect(after).toBe(life.judged?.state);
      }),
    );
  });
});
