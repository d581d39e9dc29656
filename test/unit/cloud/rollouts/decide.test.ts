import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type Candidate, type Standing } from '@paddock/cloud/rollouts/decide.ts';

const ACTIVE: Standing = {
  state: 'active',
  cap: 2,
  haltAfter: 2,
  standing: false,
  withdrawn: false,
  waiting: 3,
  updating: 0,
  failures: 0,
};
const waits = (deviceId: string, more: Partial<Candidate> = {}): Candidate => ({
  deviceId,
  unfit: null,
  runs: false,
  online: true,
  ...more,
});
const handed = (assignment: Partial<Standing>, candidates: readonly Candidate[]) =>
  decide({ ...ACTIVE, ...assignment }, candidates).map((step) => ('deviceId' in step ? step.deviceId : step.kind));

describe('an assignment', () => {
  const three = [waits('a'), waits('b'), waits('c')];

  it('hands out to as many as its cap has places for, and to those only that are online', () => {
    expect(handed({}, three)).toEqual(['a', 'b']);
    expect(handed({ updating: 1 }, three)).toEqual(['a']);
    expect(handed({ updating: 2 }, three)).toEqual([]);
    expect(handed({}, [waits('a', { online: false }), waits('b')])).toEqual(['b']);
  });

  it('takes no place for a device that runs the release already, and none for one that does not fit', () => {
    const steps = decide(ACTIVE, [
      waits('a', { runs: true, online: false }),
      waits('b', { unfit: 'model_unfit' }),
      waits('c'),
      waits('d'),
    ]);
    expect(steps).toEqual([
      { kind: 'adopt', deviceId: 'a' },
      { kind: 'refuse', deviceId: 'b', code: 'model_unfit' },
      { kind: 'hand-out', deviceId: 'c' },
      { kind: 'hand-out', deviceId: 'd' },
    ]);
  });

  it('halts with as many failures as it allows, and when the release is withdrawn', () => {
    expect(decide({ ...ACTIVE, failures: 1 }, three)).toHaveLength(2);
    expect(decide({ ...ACTIVE, failures: 2 }, three)).toEqual([{ kind: 'halt', code: 'too_many_failures' }]);
    expect(decide({ ...ACTIVE, withdrawn: true }, three)).toEqual([{ kind: 'halt', code: 'release_withdrawn' }]);
  });

  it('is complete when nobody waits or is updating, unless it stands for devices that come later', () => {
    const done = { waiting: 0, updating: 0, failures: 5 };
    expect(handed(done, [])).toEqual(['complete']);
    expect(handed({ ...done, failures: 0, standing: true }, [])).toEqual([]);
    expect(handed({ ...done, updating: 1, failures: 0 }, [])).toEqual([]);
    expect(handed({ waiting: 1 }, [waits('a', { runs: true })])).toEqual(['a', 'complete']);
    expect(handed({ waiting: 2 }, [waits('a', { runs: true })])).toEqual(['a']);
  });
});

/** A fleet in which anything may become of whoever was handed the release, turn by turn. */
const turns = fc.array(
  fc.record({
    ends: fc.array(fc.constantFrom('updated', 'failed', 'stalled', 'back'), { maxLength: 6 }),
    people: fc.constantFrom('nothing', 'nothing', 'nothing', 'pause', 'resume'),
  }),
  { maxLength: 40 },
);

describe('whatever becomes of devices, an assignment', () => {
  it('never has more of them updating by its hand than its cap, hands out nothing after a halt, and goes on to its end', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }), turns, (cap, haltAfter, script) => {
        const fleet = new Map(Array.from({ length: 12 }, (_, at) => [`kiosk-${at}`, 'waiting']));
        const given = new Set<string>();
        let [state, failures]: [Standing['state'], number] = ['active', 0];
        const count = (wanted: string): number => [...fleet.values()].filter((one) => one === wanted).length;
        for (const { ends, people } of script) {
          if (people === 'pause' && state === 'active') state = 'paused';
          if (people === 'resume' && state !== 'completed') [state, failures] = ['active', 0];
          for (const end of ends) {
            const [busy] = [...fleet].find(([, one]) => one === (end === 'back' ? 'stalled' : 'updating')) ?? [];
            if (busy === undefined) continue;
            fleet.set(busy, end === 'back' ? 'updated' : end);
            if (end === 'failed' || end === 'stalled') failures += 1;
          }
          const updating = count('updating');
          const candidates = [...fleet].flatMap(([id, one]) => (one === 'waiting' ? [waits(id)] : []));
          const standing = { ...ACTIVE, state, cap, haltAfter, waiting: candidates.length, updating, failures };
          const steps = decide(standing, candidates);
          const handOuts = steps.filter(({ kind }) => kind === 'hand-out');
          expect(handOuts.length === 0 || updating + handOuts.length <= cap).toBe(true);
          if (state !== 'active' || failures >= haltAfter) expect(handOuts).toEqual([]);
          for (const step of steps) {
            if (step.kind === 'halt') state = 'halted';
            if (step.kind === 'complete') state = 'completed';
            if (step.kind !== 'hand-out') continue;
            expect(given.has(step.deviceId)).toBe(false);
            given.add(step.deviceId);
            fleet.set(step.deviceId, 'updating');
          }
          if (state === 'completed') expect(count('waiting') + count('updating')).toBe(0);
        }
      }),
    );
  });
});
