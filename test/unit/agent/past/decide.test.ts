import { describe, expect, it } from 'vitest';
import { parseReport } from '@paddock/shared/report.ts';
import { END_BASES, END_REASONS } from '@paddock/shared/began.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { decide, type Evidence } from '@paddock/agent/past/decide.ts';
import type { More } from '@paddock/agent/past/entry.ts';
import type { Kept } from '@paddock/agent/past/recorder.ts';
import { lastRun, STOPPING } from '@paddock/agent/past/runs.ts';
import type { FoundTraces } from '@paddock/agent/ports-past.ts';
import { minimalReport } from '../../../harness/samples.ts';

const BOOT = 'c9a646d3-9c61-4cb7-bfcd-ee2522c8f633';
const OTHER = '5b1f3c7e-9d24-4a86-b0c1-2e8f7a6d5c43';
const NOTHING: FoundTraces = {
  pid: 900,
  watchdogs: [],
  panics: [],
  supervisor: null,
  fatal: null,
  oomKills: { own: 0, machine: 3 },
  killed: [],
  kernel: '',
};
const PANIC = { id: 'p'.repeat(22), title: 'Kernel panic - not syncing: oops', text: '...', files: [] };

const entry = (sequence: number, kind: Kept['kind'], what: string, more: More = {}): Kept => ({
  sequence,
  kind,
  boot: BOOT.slice(0, 8),
  segment: 0,
  start: 4,
  at: uptimeMs(1_000 * sequence),
  level: 'info',
  what,
  more,
});
const BEGIN = entry(1, 'begin', 'The agent starts', {
  boot: BOOT,
  version: '1.0.0',
  pid: 800,
  ownOomKills: 0,
  machineOomKills: 3,
});
const LIVED = [BEGIN, entry(2, 'note', 'Connected')];
const STOPPED = [...LIVED, entry(3, 'note', STOPPING)];
const CLEAN = [...STOPPED, entry(4, 'end', 'The agent has stopped', { how: 'clean' })];
const ended = (how: string, more: More = {}): Kept[] => [
  ...STOPPED,
  entry(4, 'end', 'The agent has stopped', { how, ...more }),
];
const begunToEnd = (how: string): Kept[] => [...LIVED, entry(3, 'note', STOPPING, { how, detail: 'kiosk-app 1.2.0' })];
const BROKE = [...LIVED, entry(3, 'error', 'x is not a function', { name: 'TypeError', stack: 'TypeError: ...' })];

const decided = (entries: readonly Kept[], traces: Partial<FoundTraces> = {}, more: Partial<Evidence> = {}) => {
  const { agent, machine } = decide({
    run: lastRun(entries),
    isFirst: false,
    startBefore: 4,
    bootId: BOOT,
    version: '1.0.0',
    traces: { ...NOTHING, ...traces },
    ...more,
  });
  const words = (why: typeof machine): string | null => why && `${why.reason}: ${why.basedOn.join(' ')}`;
  return { agent: words(agent), machine: words(machine), detail: agent.detail };
};
const REBOOTED = { bootId: OTHER };
const signal = (result: string, code = 'killed', status = 'SEGV') => ({ supervisor: { result, code, status } });

describe('an agent that ended in good order, and a machine that was booted since', () => {
  it.each([
    ['update', true, 'update: clean-end new-boot', 'update: clean-end new-boot'],
    // The next agent would have been started at once.
    ['update', false, 'power: machine-stayed no-clean-end new-boot', 'power: machine-stayed no-clean-end new-boot'],
    ['clean', true, 'clean: clean-end new-boot', 'clean: clean-end new-boot'],
    // Stopped by somebody: what the machine did after that is not known.
    ['clean', false, 'unknown: machine-stayed clean-end new-boot', 'clean: clean-end'],
    ['command', false, 'unknown: machine-stayed clean-end new-boot', 'command: clean-end'],
  ])('by %s, the machine going down: %s', (how, goesDown, machine, agent) => {
    expect(decided(ended(how, { goesDown }), {}, REBOOTED)).toMatchObject({ machine, agent });
  });
});

describe('why the start before ended, in the same boot', () => {
  it.each([
    ['nothing is written down', LIVED, {}, 'agent_crash: no-clean-end'],
    ['an error that nobody caught', BROKE, {}, 'agent_crash: uncaught-error'],
    [
      'an error, and the service manager says so, too',
      BROKE,
      signal('exit-code', 'exited', '70'),
      'agent_crash: uncaught-error',
    ],
    ['a signal', LIVED, signal('signal'), 'agent_crash: supervisor'],
    ['the watchdog of the service manager', LIVED, signal('watchdog', 'dumped', 'ABRT'), 'watchdog: supervisor'],
    ['the memory of the service', LIVED, signal('oom-kill', 'killed', 'KILL'), 'out_of_memory: supervisor'],
    [
      'a heap that was full',
      LIVED,
      { fatal: { event: 'Allocation failed - JavaScript heap out of memory', stack: '' } },
      'out_of_memory: node-report',
    ],
    ['another fatal error of Node', LIVED, { fatal: { event: 'Check failed', stack: '' } }, 'agent_crash: node-report'],
    [
      'a kill for memory in its control group',
      LIVED,
      { oomKills: { own: 1, machine: 4 } },
      'out_of_memory: own-oom-kills no-clean-end',
    ],
    [
      'a kill for memory of somebody',
      LIVED,
      { oomKills: { own: 0, machine: 4 } },
      'out_of_memory: machine-oom-kills no-clean-end',
    ],
    [
      'a kill for memory of somebody, and an end of its own',
      BROKE,
      { oomKills: { own: 0, machine: 4 } },
      'agent_crash: uncaught-error',
    ],
    [
      'a kill for memory that the kernel tells of',
      LIVED,
      { killed: [800], oomKills: { own: null, machine: null } },
      'out_of_memory: kernel-log',
    ],
    ['a kill for memory of another process', LIVED, { killed: [801] }, 'agent_crash: no-clean-end'],
    ['a control group that was made anew', LIVED, { oomKills: { own: 0, machine: 3 } }, 'agent_crash: no-clean-end'],
    ['a stop in good order', CLEAN, {}, 'clean: clean-end'],
    [
      'a stop in good order, whatever the service manager says of it',
      CLEAN,
      signal('success', 'exited', '0'),
      'clean: clean-end',
    ],
    ['a stop that hung', STOPPED, {}, 'clean: stop-begun'],
    [
      'a stop that hung, and was ended by the service manager',
      STOPPED,
      signal('timeout', 'killed', 'KILL'),
      'agent_crash: supervisor',
    ],
    ['an update', ended('update'), {}, 'update: clean-end'],
    ['a command', ended('command'), {}, 'command: clean-end'],
    ['an update whose stop hung', begunToEnd('update'), {}, 'update: stop-begun'],
    ['a command whose stop hung', begunToEnd('command'), {}, 'command: stop-begun'],
    [
      'an update whose stop hung, and was ended by the service manager',
      begunToEnd('update'),
      signal('timeout', 'killed', 'KILL'),
      'agent_crash: supervisor',
    ],
    [
      'an update in whose stop an error was that nobody caught',
      [...begunToEnd('update'), entry(4, 'error', 'x is not a function', { name: 'TypeError' })],
      {},
      'agent_crash: uncaught-error',
    ],
    ['a watchdog that bit before this boot', LIVED, { watchdogs: ['watchdog0'] }, 'agent_crash: no-clean-end'],
  ] as const)('%s', (_what, entries, traces, agent) => {
    expect(decided(entries, traces)).toMatchObject({ agent, machine: null });
  });

  it('another version since a stop in good order is an update', () => {
    expect(decided(CLEAN, {}, { version: '1.1.0' })).toMatchObject({
      agent: 'update: other-release clean-end',
      detail: '1.0.0 to 1.1.0',
    });
  });

  it('names the release, and what the operator did', () => {
    expect(decided(ended('update', { detail: 'kiosk-app 1.2.0' })).detail).toBe('kiosk-app 1.2.0');
    expect(decided(begunToEnd('update')).detail).toBe('kiosk-app 1.2.0');
    expect(decided(ended('command', { detail: 'retired' })).detail).toBe('retired');
    expect(decided(ended('update', { detail: 'kiosk-app 1.2.0' }), {}, { version: '1.1.0' })).toMatchObject({
      agent: 'update: clean-end',
      detail: 'kiosk-app 1.2.0',
    });
  });

  it('names the signal, the error, the process', () => {
    expect(decided(LIVED, signal('signal')).detail).toBe('killed SEGV');
    expect(decided(BROKE).detail).toBe('TypeError');
    expect(decided(LIVED, { killed: [800] }).detail).toBe('process 800');
  });
});

describe('why the machine was booted', () => {
  it.each([
    ['nothing is written down', LIVED, {}, 'power: no-clean-end new-boot'],
    ['the agent was stopped', CLEAN, {}, 'clean: clean-end new-boot'],
    ['the agent was told to stop', STOPPED, {}, 'clean: stop-begun new-boot'],
    ['the watchdog says so', LIVED, { watchdogs: ['watchdog0'] }, 'watchdog: watchdog-status new-boot'],
    ['the kernel says so', LIVED, { panics: [PANIC] }, 'kernel_panic: pstore new-boot'],
    [
      'kernel and watchdog say so',
      LIVED,
      { panics: [PANIC], watchdogs: ['watchdog0'] },
      'kernel_panic: pstore watchdog-status new-boot',
    ],
    ['an update', ended('update'), {}, 'update: clean-end new-boot'],
    ['a command', ended('command'), {}, 'command: clean-end new-boot'],
    [
      'counts of the boot before say nothing',
      LIVED,
      { oomKills: { own: 9, machine: 9 } },
      'power: no-clean-end new-boot',
    ],
    ['nor does what was before the agent in this boot', LIVED, signal('signal'), 'power: no-clean-end new-boot'],
  ] as const)('%s', (_what, entries, traces, machine) => {
    expect(decided(entries, traces, REBOOTED)).toMatchObject({ agent: machine, machine });
  });

  it('an agent that broke before the machine did has a reason of its own', () => {
    expect(decided(BROKE, {}, REBOOTED)).toMatchObject({
      agent: 'agent_crash: uncaught-error',
      machine: 'power: no-clean-end new-boot',
    });
  });

  it('is told by a beginning that is all that is left of the boot id', () => {
    expect(decided(LIVED.slice(1)).machine).toBeNull();
    expect(decided(LIVED.slice(1), {}, REBOOTED).machine).toBe('power: no-clean-end new-boot');
  });
});

describe('what is not known', () => {
  it('is the end before the very first start', () => {
    expect(decided([], {}, { isFirst: true, startBefore: 0 })).toMatchObject({
      agent: 'unknown: first-start',
      machine: null,
    });
  });

  it('is said where the recorder has nothing of the start before', () => {
    expect(decided([])).toMatchObject({ agent: 'unknown: no-record', machine: null });
    expect(decided(LIVED, {}, { startBefore: 5 })).toMatchObject({ agent: 'unknown: no-record', machine: null });
  });

  it('is less where the machine says something nevertheless', () => {
    expect(decided([], { watchdogs: ['watchdog0'] })).toMatchObject({ machine: 'watchdog: watchdog-status no-record' });
    expect(decided([], { panics: [PANIC] })).toMatchObject({ machine: 'kernel_panic: pstore no-record' });
  });

  it('is not more by a count of starts that was lost', () => {
    expect(decided(LIVED, {}, { startBefore: null }).agent).toBe('agent_crash: no-clean-end');
  });
});

it('every word and every detail fits the wire', () => {
  for (const word of Object.keys(END_REASONS)) expect(word).toMatch(/^[a-z][a-z0-9_]{0,31}$/);
  for (const word of Object.keys(END_BASES)) expect(word).toMatch(/^[a-z][a-z0-9-]{0,31}$/);
  const event = `heap \u0000\u001b[31m out of memory ${'x'.repeat(500)}`;
  const { agent } = decide({
    run: lastRun(LIVED),
    isFirst: false,
    startBefore: 4,
    bootId: BOOT,
    version: '1',
    traces: { ...NOTHING, fatal: { event, stack: '' } },
  });
  expect(() => parseReport({ ...minimalReport, began: { agent } })).not.toThrow();
});
