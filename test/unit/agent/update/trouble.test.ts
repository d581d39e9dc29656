import { conclude } from '@paddock/agent/update/conclude.ts';
import { decide } from '@paddock/agent/update/decide.ts';
import type { Facts } from '@paddock/agent/update/facts.ts';
import { NO_JOURNAL, type Journal } from '@paddock/agent/update/journal.ts';
import { pauseMs } from '@paddock/agent/update/pauses.ts';
import { limitsOf } from '@paddock/agent/update/trial.ts';
import { parseManifest } from '@paddock/shared/manifest.ts';
import { describe, expect, it, test } from 'vitest';
import { releaseOf } from '../../../harness/agent/slots.ts';

const ONE = releaseOf(1, { 'bin/kiosk': 'one' });
const TWO = releaseOf(2, { 'bin/kiosk': 'two' });
const [old, target] = [ONE.release, TWO.release];
const FLOORS = { [old.name]: { counter: old.counter, sha256: old.sha256 } };

const journalOf = (change: Partial<Journal>): Journal => ({ ...NO_JOURNAL, floors: FLOORS, target, ...change });
const runsOne = { slot: 'a', release: old, committed: true } as const;
const runsTwo = { slot: 'b', release: target, committed: false } as const;
const trialOf = (starts: number, givenUp = false) => ({ slot: 'b', release: target, starts, givenUp }) as const;

const factsOf = (change: Partial<Facts>): Facts => ({
  desired: target,
  slots: { running: runsOne, trial: null, other: target, lost: null },
  launcher: { sha256: old.sha256 },
  agreed: target.sha256,
  isFetched: true,
  isWindowOpen: true,
  isLocked: false,
  isPaused: false,
  isReached: false,
  watchedMs: 0,
  ...change,
});

describe('a trial that the launcher was told of and has not begun', () => {
  const armed = journalOf({ state: 'armed' });
  const slots: Facts['slots'] = { running: runsOne, trial: trialOf(0), other: target, lost: null };

  it('is begun while nobody is interrupted', () => {
    expect(decide(armed, factsOf({ slots }))).toEqual({ kind: 'do', action: 'restart' });
  });

  test.each<[why: string, change: Partial<Facts>]>([
    ['its window has closed', { isWindowOpen: false }],
    ['somebody holds the lock', { isLocked: true }],
    ['nothing is desired any more', { desired: null }],
    ['another release is desired', { desired: { ...target, sha256: old.sha256 } }],
  ])('is taken back when %s, whether a launcher answers or not, and nobody is blamed', (_, change) => {
    for (const launcher of [null, { sha256: old.sha256 }]) {
      const decision = decide(armed, factsOf({ slots, launcher, ...change }));
      expect(decision).toMatchObject({
        kind: 'note',
        journal: { state: 'rolling-back', error: null, quarantined: [] },
      });
    }
  });

  it('waits until it is known what is desired, and for a launcher', () => {
    expect(decide(armed, factsOf({ slots, desired: undefined }))).toMatchObject({ kind: 'rest' });
    expect(decide(armed, factsOf({ slots, launcher: null }))).toMatchObject({ kind: 'rest' });
  });
});

describe('a way back', () => {
  const back = journalOf({ state: 'rolling-back', error: { code: 'update_probe_failed' } });

  it('has not come to its end while the launcher does not say that it runs what was before', () => {
    expect(decide(back, factsOf({ launcher: null }))).toMatchObject({ kind: 'rest' });
    expect(decide(back, factsOf({ launcher: { sha256: target.sha256 } }))).toEqual({ kind: 'do', action: 'restart' });
    expect(decide(back, factsOf({ launcher: { sha256: target.sha256 }, isPaused: true }))).toMatchObject({
      kind: 'rest',
    });
    expect(decide(back, factsOf({}))).toMatchObject({ kind: 'note', journal: { state: 'rolled-back' } });
  });

  it('interrupts less and less often when the launcher does not get there', () => {
    let journal = back;
    const pauses = Array.from({ length: 12 }, () => {
      const concluded = conclude(journal, 'restart', { kind: 'done' });
      ({ journal } = concluded);
      return concluded.pause === null ? 0 : pauseMs(concluded.pause, journal.failures - 1, 1);
    });
    expect(pauses.slice(0, 3)).toEqual([15_000, 30_000, 60_000]);
    expect(pauses.at(-1)).toBe(60 * 60_000);
  });

  it('from what ran before, tried for the cloud, waits for the launcher as well', () => {
    const watch = { release: target, before: old.sha256, phase: 'back', ms: 0 } as const;
    const journal = journalOf({ state: 'committed', watch, floors: {} });
    const slots: Facts['slots'] = { running: { ...runsTwo, committed: true }, trial: null, other: old, lost: null };
    const raised = decide(journal, factsOf({ slots }));
    const noted = raised.kind === 'note' ? raised.journal : journal;
    expect(decide(noted, factsOf({ slots, launcher: null }))).toMatchObject({ kind: 'rest' });
    expect(decide(noted, factsOf({ slots }))).toEqual({ kind: 'do', action: 'restart' });
    const there = decide(noted, factsOf({ slots, launcher: { sha256: target.sha256 } }));
    expect(there).toMatchObject({ kind: 'note', journal: { watch: null } });
  });
});

describe('a release is put away', () => {
  const slots: Facts['slots'] = { running: runsOne, trial: trialOf(3, true), other: target, lost: null };

  it('when the launcher gave its trial up, unless it had been found good', () => {
    const decision = decide(journalOf({ state: 'trial' }), factsOf({ slots }));
    expect(decision).toMatchObject({ journal: { quarantined: [{ sha256: target.sha256, code: 'update_given_up' }] } });
    const healthy = decide(journalOf({ state: 'trial', isHealthy: true }), factsOf({ slots }));
    expect(healthy).toMatchObject({
      journal: { state: 'rolling-back', error: { code: 'update_given_up' }, quarantined: [] },
    });
  });

  test.each(['update_process_down', 'update_sensors_bad', 'update_probe_failed', 'update_hook_failed'])(
    'for %s',
    (code) => {
      for (const action of ['judge', 'after'] as const) {
        const { journal } = conclude(journalOf({ state: 'trial' }), action, { kind: 'failed', error: { code } });
        expect(journal).toMatchObject({ state: 'rolling-back', quarantined: [{ sha256: target.sha256, code }] });
      }
    },
  );

  test.each(['update_disk_failed', 'install_interrupted', 'update_no_space', 'update_failed', 'manifest_invalid'])(
    'and not for %s: that is the device’s own trouble, and it is judged again',
    (code) => {
      for (const action of ['judge', 'after'] as const) {
        const { journal, pause } = conclude(journalOf({ state: 'trial' }), action, { kind: 'failed', error: { code } });
        expect(journal).toMatchObject({ state: 'trial', error: { code }, quarantined: [], failures: 1 });
        expect(pause).toBe('network');
      }
    },
  );
});

describe('nobody is interrupted', () => {
  const watch = { release: target, before: old.sha256, phase: 'new', ms: 0 } as const;
  const slots: Facts['slots'] = { running: { ...runsTwo, committed: true }, trial: null, other: old, lost: null };
  const dayLater = { slots, launcher: { sha256: target.sha256 }, watchedMs: 24 * 3_600_000 };
  const floors = { [target.name]: { counter: target.counter, sha256: target.sha256 } };

  test.each([{ isLocked: true }, { isWindowOpen: false }])('between the last look and the switch: %j', (change) => {
    const armed = journalOf({ state: 'armed' });
    expect(decide(armed, factsOf({}))).toEqual({ kind: 'do', action: 'activate' });
    expect(decide(armed, factsOf(change))).toMatchObject({ journal: { state: 'waiting-for-lock' } });
  });

  test.each([{ isLocked: true }, { isWindowOpen: false }])('by a try of what ran before: %j', (change) => {
    const journal = journalOf({ state: 'committed', watch, floors });
    expect(decide(journal, factsOf(dayLater))).toMatchObject({ journal: { watch: { phase: 'old' } } });
    const waits = decide(journal, factsOf({ ...dayLater, ...change }));
    expect(waits).not.toMatchObject({ journal: { watch: { phase: 'old' } } });
  });
});

test('a trial that the journal knows nothing of is ended, and nobody is blamed', () => {
  const slots: Facts['slots'] = { running: runsTwo, trial: trialOf(1), other: old, lost: null };
  expect(decide(journalOf({ state: 'idle', target: null }), factsOf({ slots }))).toMatchObject({
    journal: { state: 'rolling-back', error: { code: 'update_trial_unknown' }, quarantined: [] },
  });
});

describe('a launcher that does not answer', () => {
  it('keeps no update from being fetched and staged: it chooses anew when it starts', () => {
    const decision = decide(journalOf({ state: 'downloading' }), factsOf({ launcher: null }));
    expect(decision).toEqual({ kind: 'do', action: 'download' });
  });

  it('is told to run what the record says as soon as it answers and runs something else', () => {
    const facts = factsOf({ launcher: { sha256: target.sha256 } });
    expect(decide(journalOf({ state: 'downloading' }), facts)).toEqual({ kind: 'do', action: 'restart' });
  });
});

test('a release that was found good is the floor before it is committed', () => {
  const { journal } = conclude(journalOf({ state: 'trial' }), 'judge', { kind: 'done' });
  expect(journal).toMatchObject({
    isHealthy: true,
    floors: { [target.name]: { counter: target.counter, sha256: target.sha256 } },
  });
});

test('what runs and is committed is the floor, whatever became of the journal', () => {
  const decision = decide(NO_JOURNAL, factsOf({ desired: undefined }));
  expect(decision).toMatchObject({ kind: 'note', journal: { floors: FLOORS } });
});

describe('an installer that cannot say how its slots stand', () => {
  it('is waited for, whatever there is to be done, and nothing is undone meanwhile', () => {
    const fault = { code: 'install_rauc_away' };
    for (const state of ['offered', 'staging', 'armed', 'trial', 'rolling-back'] as const) {
      const slots = { running: null, trial: null, other: null, lost: null, fault };
      expect([state, decide(journalOf({ state }), factsOf({ slots }))]).toMatchObject([state, { kind: 'rest' }]);
    }
  });

  it('is no reason to put a release away when what it is told does not come right, and says why', () => {
    const error = { code: 'install_reboot_failed', detail: 'not allowed' };
    const { journal, pause } = conclude(journalOf({ state: 'armed' }), 'restart', { kind: 'failed', error });
    expect({ journal, pause }).toMatchObject({ journal: { state: 'armed', error, failures: 1 }, pause: 'network' });
    const verdict = { code: 'update_probe_failed' };
    const back = journalOf({ state: 'rolling-back', error: verdict });
    expect(conclude(back, 'restart', { kind: 'failed', error }).journal).toMatchObject({ error: verdict });
  });
});

describe('what was not fetched in this start of the agent', () => {
  it('is not staged: the download says first what is there, and waits for the window', () => {
    const journal = journalOf({ state: 'staging' });
    expect(decide(journal, factsOf({}))).toEqual({ kind: 'do', action: 'stage' });
    const decision = decide(journal, factsOf({ isFetched: false, isWindowOpen: false }));
    expect(decision).toMatchObject({ kind: 'note', journal: { state: 'downloading' } });
    const waiting = decide(journalOf({ state: 'downloading' }), factsOf({ isFetched: false, isWindowOpen: false }));
    expect(waiting).toMatchObject({ kind: 'note', journal: { state: 'waiting-for-window' } });
  });
});

test('the launcher waits for probes that take all of their time', () => {
  const manifest = parseManifest(TWO.manifest);
  const health = { withinSeconds: 60, settleSeconds: 10, sensors: true };
  const probe = { command: ['bin/probe'], timeoutSeconds: 300 };
  const plain = limitsOf({ ...manifest, health }).withinMs;
  // One may begin just in time, and another just before all has settled.
  expect(limitsOf({ ...manifest, health: { ...health, probe } }).withinMs - plain).toBe(600_000);
});
