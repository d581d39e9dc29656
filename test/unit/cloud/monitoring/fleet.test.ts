import { describe, expect, test } from 'vitest';
import type { Presence } from '@paddock/cloud/devices/presence.ts';
import { judgeFleet, type Transition } from '@paddock/cloud/monitoring/fleet.ts';
import { DEAF, listen } from '@paddock/cloud/monitoring/listening.ts';
import { wallMs } from '@paddock/shared/time.ts';

const move = (previous: Presence, state: Presence, count: number): Transition[] =>
  Array.from({ length: count }, (_, n) => ({
    deviceId: `${previous}-${state}-${n}`,
    customerId: 'default',
    name: 'x',
    state,
    previous,
    heardAt: wallMs(0),
  }));
const states = (transitions: readonly Transition[]) => transitions.map(({ state }) => state);

describe('a fleet', () => {
  test('of which one device falls silent is well', () => {
    const verdict = judgeFleet({ online: 99, late: 1 }, move('late', 'lost', 1), false);
    expect([verdict.silent, states(verdict.transitions)]).toEqual([false, ['lost']]);
  });

  test('of which most fall silent together is silent, and nobody is called lost', () => {
    const proposed = [...move('late', 'lost', 6), ...move('online', 'lost', 1), ...move('online', 'late', 4)];
    const verdict = judgeFleet({ online: 14, late: 6 }, proposed, false);
    expect(verdict).toMatchObject({ silent: true, silentCount: 11, expectedCount: 20 });
    expect(states(verdict.transitions)).toEqual(['late', 'late', 'late', 'late', 'late']);
  });

  test('of less than ten is never taken for the fleet', () => {
    const verdict = judgeFleet({ late: 9 }, move('late', 'lost', 9), false);
    expect([verdict.silent, verdict.transitions.length]).toEqual([false, 9]);
  });

  test('of which half are silent is not silent', () => {
    expect(judgeFleet({ online: 10, late: 10 }, [], false).silent).toBe(false);
  });

  test('that is heard again still has nobody lost in that round', () => {
    const proposed = [...move('late', 'online', 8), ...move('late', 'lost', 4)];
    const verdict = judgeFleet({ late: 12 }, proposed, true);
    expect([verdict.silent, states(verdict.transitions)]).toEqual([false, Array(8).fill('online')]);
  });

  test('does not expect what is lost, offline or retired', () => {
    const verdict = judgeFleet({ online: 3, lost: 500, offline: 500, retired: 500 }, move('online', 'late', 2), false);
    expect(verdict).toMatchObject({ silent: false, silentCount: 2, expectedCount: 3 });
  });
});

describe('listening', () => {
  const at = (ms: number) => wallMs(1_800_000_000_000 + ms);
  const begun = listen(DEAF, true, at(0), 15_000);

  test('lasts from look to look', () => {
    expect(listen(begun, true, at(15_000), 15_000)).toEqual({ since: at(0), checkedAt: at(15_000) });
  });

  test.each([
    ['the broker is gone', false, 1, null],
    ['nobody looked for too long', true, 15_001, 15_001],
    ['the clock went back', true, -1, -1],
  ])('ends when %s', (_, reachable, now, since) => {
    expect(listen(begun, reachable, at(now), 15_000).since).toBe(since === null ? null : at(since));
  });
});
