import { judge, type Vital, type Vitals, type Watch } from '@paddock/agent/watchdog/judge.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const at = uptimeMs;
const busy = (done: number): Vital => ({ done, idle: false, withinMs: 100 });
const idle = (done: number): Vital => ({ done, idle: true, withinMs: 100 });

/** Looks in time, at each of these moments. @returns what the last one came to */
function after(...looks: readonly (readonly [ms: number, vitals: Vitals])[]): ReturnType<typeof judge>['verdict'] {
  let watch: Watch = {};
  let last: ReturnType<typeof judge>['verdict'] = { kind: 'well' };
  for (const [ms, vitals] of looks)
    ({ watch, verdict: last } = judge(watch, { now: at(ms), dueAt: at(ms), lateMs: 50, vitals }));
  return last;
}

describe('the watchdog is told that all is well', () => {
  it('while every part gets something done in its time', () => {
    expect(after([0, { disk: busy(1) }], [90, { disk: busy(2) }], [190, { disk: busy(3) }])).toEqual({ kind: 'well' });
  });

  it('while a part has nothing to do, for as long as it likes', () => {
    expect(after([0, { link: idle(1) }], [9_000, { link: idle(1) }])).toEqual({ kind: 'well' });
  });

  it('again as soon as the part gets on', () => {
    const stalled = [
      [0, { disk: busy(1) }],
      [500, { disk: busy(1) }],
    ] as const;
    expect(after(...stalled)).toMatchObject({ kind: 'stalled' });
    expect(after(...stalled, [510, { disk: busy(2) }])).toEqual({ kind: 'well' });
  });

  it('when a part is gone that was there before', () => {
    expect(after([0, { disk: busy(1) }], [500, {}])).toEqual({ kind: 'well' });
  });
});

describe('the watchdog is not told', () => {
  it('when one part has got nothing done for too long, whatever the others do', () => {
    const verdict = after(
      [0, { disk: busy(1), link: busy(1) }],
      [60, { disk: busy(1), link: busy(2) }],
      [101, { disk: busy(1), link: busy(3) }],
    );
    expect(verdict).toEqual({ kind: 'stalled', part: 'disk', ms: 101 });
  });

  it('by time that passed while there was nothing to do', () => {
    expect(after([0, { disk: idle(1) }], [900, { disk: busy(1) }], [990, { disk: busy(1) }])).toEqual({ kind: 'well' });
    expect(after([0, { disk: idle(1) }], [900, { disk: busy(1) }], [1_001, { disk: busy(1) }])).toMatchObject({
      kind: 'stalled',
    });
  });

  it('when the event loop came too late', () => {
    const look = { now: at(200), dueAt: at(149), lateMs: 50, vitals: {} };
    expect(judge({}, look).verdict).toEqual({ kind: 'late', ms: 51 });
    expect(judge({}, { ...look, dueAt: at(150) }).verdict).toEqual({ kind: 'well' });
  });
});
