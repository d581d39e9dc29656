import { asksForAnswer } from '@paddock/agent/report/asks.ts';
import {
  decideUrgent,
  EVENT_BURST,
  EVENTS_PER_SECOND,
  fullBudget,
  hasSettled,
  jitterOf,
  nextWithinMs,
  NO_CHANGES,
  overdueAt,
  spendEvent,
} from '@paddock/agent/report/triggers.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const at = uptimeMs;

describe('who asks for an answer', () => {
  it.each([
    ['boot', { kind: 'boot' }, true],
    ['connect', { kind: 'connect' }, true],
    ['an event', { kind: 'event', name: 'card-swipe' }, true],
    ['the schedule', { kind: 'schedule' }, false],
    ['a change', { kind: 'change', sensor: 'door' }, false],
    ['the goodbye', { kind: 'shutdown' }, false],
  ] as const)('%s, shortly after an exchange', (_what, trigger, asks) => {
    expect(asksForAnswer(trigger, at(1_000), at(2_000), 60_000)).toBe(asks);
  });

  it.each([
    ['the schedule', { kind: 'schedule' }, true],
    ['a change', { kind: 'change', sensor: 'door' }, true],
    ['the goodbye', { kind: 'shutdown' }, false],
  ] as const)('%s, when the exchange is old or never was', (_what, trigger, asks) => {
    expect(asksForAnswer(trigger, at(0), at(60_000), 60_000)).toBe(asks);
    expect(asksForAnswer(trigger, null, at(5), 60_000)).toBe(asks);
  });
});

describe('changes of urgent sensors', () => {
  it('are never reported more often than the interval, and the last one is never left out', () => {
    const Change = fc.record({ gapMs: fc.nat(1_500), sensor: fc.constantFrom('door', 'lid', 'lock') });
    fc.assert(
      fc.property(fc.array(Change, { maxLength: 60 }), (flurry) => {
        let decision = decideUrgent(NO_CHANGES, null, at(0), 1_000);
        let now = 0;
        const reports: { at: number; sensor: string }[] = [];
        const take = (sensor: string | null): void => {
          decision = decideUrgent(decision.changes, sensor, at(now), 1_000);
          if (decision.report !== null) reports.push({ at: now, sensor: decision.report });
        };
        for (const { gapMs, sensor } of flurry) {
          const end = now + gapMs;
          if (decision.waitMs !== null && now + decision.waitMs <= end) {
            now += decision.waitMs;
            take(null);
          }
          now = end;
          take(sensor);
        }
        if (decision.waitMs !== null) {
          now += decision.waitMs;
          take(null);
        }
        const gaps = reports.map((report, i) => report.at - (reports[i - 1]?.at ?? -Infinity));
        expect(gaps.every((gap) => gap >= 1_000)).toBe(true);
        expect(decision.changes.pending).toBeNull();
        expect(reports.at(-1)?.sensor).toBe(flurry.at(-1)?.sensor);
      }),
    );
  });
});

describe('a storm of events', () => {
  it('gets its burst at once and then its rate', () => {
    let budget = fullBudget(at(0));
    const spend = (now: number): boolean => {
      const left = spendEvent(budget, at(now));
      budget = left ?? budget;
      return left !== null;
    };
    const taken = Array.from({ length: EVENT_BURST + 1 }, () => spend(0));
    expect(taken.lastIndexOf(true)).toBe(EVENT_BURST - 1);
    const second = Array.from({ length: 1_000 }, (_, ms) => spend(ms + 1)).filter(Boolean);
    expect(second).toHaveLength(EVENTS_PER_SECOND);
  });

  it('saves up no more than its burst', () => {
    expect(spendEvent(fullBudget(at(0)), at(1e9))?.tokens).toBe(EVENT_BURST - 1);
  });
});

describe('the schedule', () => {
  it('has a place in the jitter that is always the same, and spread over the fleet', () => {
    const places = Array.from({ length: 1_000 }, (_, i) => jitterOf(`kiosk-${i}`, 20_000));
    expect(places).toEqual(Array.from({ length: 1_000 }, (_, i) => jitterOf(`kiosk-${i}`, 20_000)));
    expect(places.every((ms) => ms >= 0 && ms <= 20_000)).toBe(true);
    const tenths = Array.from({ length: 10 }, (_, i) => places.filter((ms) => Math.floor(ms / 2_000.1) === i).length);
    expect(Math.min(...tenths)).toBeGreaterThan(50);
    expect(jitterOf('kiosk-0001', 0)).toBe(0);
  });

  it('is overdue before the silence is over that was announced', () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.nat(1e6), (gapMs, jitterMs) => {
        const due = overdueAt(at(5), gapMs, jitterMs) - 5;
        expect(due).toBeGreaterThan(gapMs + jitterMs);
        expect(due).toBeLessThan(nextWithinMs(gapMs, jitterMs));
      }),
    );
  });
});

describe('a first report', () => {
  it('has something to say when every sensor has', () => {
    expect(hasSettled({})).toBe(true);
    expect(hasSettled({ door: { value: true, ageMs: 0 } })).toBe(true);
    expect(hasSettled({ door: { value: null, ageMs: null, quality: 'bad', reason: 'unplugged' } })).toBe(true);
    expect(hasSettled({ door: { value: null, ageMs: null, quality: 'bad', reason: 'no-sample' } })).toBe(false);
  });
});
