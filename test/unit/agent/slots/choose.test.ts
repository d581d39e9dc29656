import { choose, givenUp } from '@paddock/agent/slots/choose.ts';
import { describe, expect, it } from 'vitest';
import { LIMITS, releaseOf } from '../../../harness/agent/slots.ts';

const OLD = releaseOf(1, { 'bin/kiosk': 'one' });
const NEW = releaseOf(2, { 'bin/kiosk': 'two' });

describe('the launcher’s choice', () => {
  it('counts starts of a trial, gives it up, and starts anew with another one', () => {
    const committed = { slot: 'a', sha256: OLD.release.sha256 } as const;
    const trial = { id: 7, slot: 'b', sha256: NEW.release.sha256, ...LIMITS } as const;
    let notes = choose({ committed, trial: null }, null).notes;
    const runs: (string | undefined)[] = [];
    for (let start = 0; start < 5; start += 1) {
      const choice = choose({ committed, trial }, notes);
      notes = choice.notes;
      runs.push(choice.run?.slot);
    }
    expect(runs).toEqual(['b', 'b', 'b', 'a', 'a']);
    expect(notes).toEqual({ trial: 7, starts: 3, givenUp: true, last: committed });
    expect(choose({ committed, trial: { ...trial, id: 8 } }, notes).run?.slot).toBe('b');
    expect(choose({ committed: null, trial }, notes).run).toBeNull();
  });

  it('gives up a trial that nobody settled', () => {
    const committed = { slot: 'a', sha256: OLD.release.sha256 } as const;
    const trial = { id: 7, slot: 'b', sha256: NEW.release.sha256, ...LIMITS } as const;
    const { notes } = choose({ committed, trial }, null);
    expect(choose({ committed, trial }, givenUp(notes))).toMatchObject({ run: committed, trial: null });
  });
});
