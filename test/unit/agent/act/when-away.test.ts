import {
  hear,
  NO_WORD,
  PHASES,
  phaseOf,
  type Policy,
  type Word,
  type WordInput,
} from '@paddock/agent/act/when-away.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';

const moment = (at: number, segment = 0) => ({ at: uptimeMs(at), segment });
const heardAt = (at: number, isCurrent = true, segment = 0): WordInput => ({
  kind: 'answered',
  asked: moment(at, segment),
  isCurrent,
});
const after = (...inputs: WordInput[]): Word => inputs.reduce(hear, NO_WORD);
const DESIRED: WordInput = { kind: 'desired' };
const HOLD: Policy = { kind: 'hold' };
const REVERT: Policy = { kind: 'revert', ms: 100 };
const LEASE: Policy = { kind: 'lease', ms: 100 };

describe('what holds while the cloud is away', () => {
  test.each<[what: string, policy: Policy, inputs: WordInput[], at: number, phase: string]>([
    ['nothing is desired', REVERT, [heardAt(0)], 1, 'own'],
    ['it is taken away again', HOLD, [DESIRED, { kind: 'gone' }], 1, 'own'],
    ['hold needs no word', HOLD, [DESIRED], 1_000_000, 'held'],
    ['no word yet, after a start', REVERT, [DESIRED], 0, 'unproven'],
    ['no word yet of this version, after a start', LEASE, [DESIRED, heardAt(0, false)], 1, 'unproven'],
    ['a word in time', REVERT, [DESIRED, heardAt(0)], 99, 'held'],
    ['a word before it was desired', REVERT, [heardAt(0), DESIRED], 99, 'held'],
    ['a word that is too old', REVERT, [DESIRED, heardAt(0)], 100, 'away'],
    ['a newer word', REVERT, [DESIRED, heardAt(0), heardAt(90)], 150, 'held'],
    ['an older word that comes late', REVERT, [DESIRED, heardAt(90), heardAt(0)], 150, 'held'],
    ['any word is one for revert', REVERT, [DESIRED, heardAt(0), heardAt(90, false)], 150, 'held'],
    ['a lease is renewed by what is current alone', LEASE, [DESIRED, heardAt(0), heardAt(90, false)], 150, 'away'],
    ['a lease that was renewed', LEASE, [DESIRED, heardAt(0), heardAt(90)], 150, 'held'],
    ['a word from before a suspend', REVERT, [DESIRED, heardAt(0, true, 0)], 50, 'unproven'],
    ['a word from the future', REVERT, [DESIRED, heardAt(60)], 50, 'unproven'],
  ])('%s', (what, policy, inputs, at, phase) => {
    const now = moment(at, what.includes('suspend') ? 1 : 0);
    expect(phaseOf(policy, after(...inputs), now).phase).toBe(phase);
  });

  it('says when that ends', () => {
    expect(phaseOf(REVERT, after(DESIRED, heardAt(7)), moment(10)).endsAt).toBe(107);
    expect(phaseOf(HOLD, after(DESIRED), moment(10)).endsAt).toBeNull();
  });
});

/** Time passes, the machine sleeps, and the cloud says something that may have been kept back. */
const Happening = fc.oneof(
  fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 120 }) }),
  fc.record({ kind: fc.constant('suspend' as const) }),
  fc.record({
    kind: fc.constant('answer' as const),
    lateMs: fc.integer({ min: 0, max: 300 }),
    isCurrent: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('desired' as const) }),
  fc.record({ kind: fc.constant('gone' as const) }),
);

it('never holds anything for longer than it may, in whatever order things happen, and always when it may', () => {
  fc.assert(
    fc.property(fc.array(Happening, { maxLength: 40 }), fc.constantFrom('revert', 'lease'), (happenings, kind) => {
      const policy = { kind, ms: 100 } as Policy;
      let [now, segment, word, isDesired] = [1_000, 0, NO_WORD, false];
      // The truth, kept beside: when the cloud was certainly there.
      const words: { at: number; segment: number }[] = [];
      for (const what of happenings) {
        if (what.kind === 'pass') now += what.ms;
        if (what.kind === 'suspend') segment += 1;
        if (what.kind === 'answer') {
          word = hear(word, heardAt(now - what.lateMs, what.isCurrent, segment));
          if (what.isCurrent || kind === 'revert') words.push({ at: now - what.lateMs, segment });
        }
        if (what.kind === 'desired' || what.kind === 'gone') {
          word = hear(word, { kind: what.kind });
          isDesired = what.kind === 'desired';
        }
        const isProven = words.some(({ at, segment: its }) => its === segment && now - at < 100);
        const { phase } = phaseOf(policy, word, moment(now, segment));
        expect(PHASES[phase].holds).toBe(isDesired && isProven ? 'desired' : 'safe');
      }
    }),
    { numRuns: 500 },
  );
});
