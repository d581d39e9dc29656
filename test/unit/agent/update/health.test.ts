import { beginJudging, judge, type Criteria, type Observation, type Verdict } from '@paddock/agent/update/health.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const criteria: Criteria = {
  sha256: 'new',
  runs: true,
  goodSensors: 3,
  health: { withinSeconds: 10, settleSeconds: 5, sensors: true },
};
const up = { slot: 'b', sha256: 'new', pid: 7, startedAt: uptimeMs(0), restarts: 0 } as const;
const at = (seconds: number, change: Partial<Observation> = {}): Observation => ({
  now: uptimeMs(seconds * 1_000),
  launcher: up,
  goodSensors: 3,
  probe: null,
  ...change,
});

function verdict(observed: readonly Observation[], by: Criteria = criteria): Verdict {
  let judging = beginJudging(uptimeMs(0));
  for (const each of observed) {
    const next = judge(judging, each, by);
    if (next.verdict !== 'undecided') return next.verdict;
    ({ judging } = next);
  }
  return 'undecided';
}
const bad = { probe: { isGood: false, detail: 'dark' } };
const seconds = (from: number, to: number, change?: Partial<Observation>): Observation[] =>
  Array.from({ length: to - from + 1 }, (_, n) => at(from + n, change));

describe('a trial is judged', () => {
  it('good when all is well for as long as it has to settle, and not before', () => {
    expect(verdict(seconds(1, 5))).toBe('undecided');
    expect(verdict(seconds(1, 6))).toBe('good');
  });

  it('bad when it is not well in time, by what is wrong', () => {
    expect(verdict(seconds(1, 10, bad))).toBe('undecided');
    expect(verdict(seconds(1, 11, bad))).toEqual({ code: 'update_probe_failed', detail: 'dark' });
    expect(verdict(seconds(1, 11, { goodSensors: 2 }))).toEqual({ code: 'update_sensors_bad', detail: '2 of 3' });
    expect(verdict(seconds(1, 11, { launcher: { ...up, pid: null } }))).toMatchObject({ code: 'update_process_down' });
    expect(verdict(seconds(1, 11, { launcher: { ...up, sha256: 'old' } }))).toMatchObject({
      code: 'update_process_down',
    });
  });

  it('bad at once when its program has ended', () => {
    expect(verdict([at(1, { launcher: { ...up, restarts: 1 } })])).toMatchObject({ code: 'update_process_down' });
  });

  it('anew after a break: it may be well late, but has to stay so', () => {
    expect(verdict([...seconds(1, 4), at(5, bad), ...seconds(6, 10)])).toBe('undecided');
    expect(verdict([...seconds(1, 4), at(5, bad), ...seconds(6, 11)])).toBe('good');
    expect(verdict([...seconds(9, 12), at(13, bad)])).toMatchObject({ code: 'update_probe_failed' });
  });

  it('by what its manifest asks for alone', () => {
    const health = { ...criteria.health, sensors: false };
    expect(verdict(seconds(1, 6, { goodSensors: 0 }), { ...criteria, health })).toBe('good');
    expect(verdict(seconds(1, 6, { launcher: { ...up, pid: null } }), { ...criteria, runs: false })).toBe('good');
  });

  it('not at all while the launcher does not answer, and from the start of its program on', () => {
    expect(verdict(seconds(1, 100, { launcher: null }))).toBe('undecided');
    const later = { ...up, startedAt: uptimeMs(95_000) };
    expect(verdict([...seconds(1, 5, { launcher: null }), ...seconds(96, 104, { ...bad, launcher: later })])).toBe(
      'undecided',
    );
  });
});
