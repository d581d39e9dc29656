import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { prepareRun, giveUp } from '@paddock/agent/slots/launch.ts';
import { stage } from '@paddock/agent/slots/stage.ts';
import { InstallError } from '@paddock/agent/ports-firmware.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bringObjects, faultsOf, LIMITS, releaseOf, runUntil } from '../../harness/agent/slots.ts';

const OLD = releaseOf(1, {
  'bin/kiosk': 'one',
  'web/index.html': 'hello',
  'web/same.js': 'same',
  gone: 'gone',
  d: null,
});
const NEW = releaseOf(2, { 'bin/kiosk': 'two', 'web/same.js': 'same', 'web/deep/er/x': 'x', current: '-> bin/kiosk' });

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'paddock-slots-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const codeOf = (work: () => unknown): string | null => {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof InstallError ? error.code : String(error);
  }
};

describe('slots on a real disk', () => {
  it('hold one release after the other, whatever lay there before', () => {
    const calls = createTreeCalls(root);
    bringObjects(calls, OLD);
    runUntil(calls, OLD);
    bringObjects(calls, NEW);
    // What an attacker, or a program that went wrong, may have left in the slot that is written next.
    mkdirSync(join(root, 'b/web/deep'), { recursive: true });
    writeFileSync(join(root, 'victim'), 'untouched');
    mkdirSync(join(root, 'b/bin'));
    symlinkSync(join(root, 'victim'), join(root, 'b/bin/kiosk'));
    symlinkSync('/etc', join(root, 'b/web/deep/er'));
    writeFileSync(join(root, 'b/stranger'), 'x');
    writeFileSync(join(root, 'b/web/same.js'), 'same');
    chmodSync(join(root, 'b/web/same.js'), 0o4777);
    runUntil(calls, NEW);
    const { running, other } = new SlotDirectory(calls).status();
    expect(running).toEqual({ slot: 'b', release: NEW.release, committed: true });
    expect(other).toEqual(OLD.release);
    expect(faultsOf(calls, 'b', NEW.release.sha256, [NEW])).toEqual([]);
    expect(readFileSync(join(root, 'victim'), 'utf8')).toBe('untouched');
    expect(prepareRun(calls).run).toEqual({ slot: 'b', sha256: NEW.release.sha256 });
  });

  it('say what is missing, and do not call a part whole', () => {
    const calls = createTreeCalls(root);
    const slots = new SlotDirectory(calls);
    expect(codeOf(() => stage(calls, { content: NEW, ...slots.vacate() }))).toBe('install_object_missing');
    expect(codeOf(() => slots.activate(NEW.release.sha256, LIMITS))).toBe('install_not_staged');
    expect(prepareRun(calls)).toEqual({ run: null, trial: null });
  });

  it('do not take an object that is not what its name says', () => {
    const calls = createTreeCalls(root);
    bringObjects(calls, NEW);
    const [path = ''] = calls.list('objects');
    writeFileSync(
      join(root, 'objects', path),
      readFileSync(join(root, 'objects', path)).map((byte) => byte ^ 1),
    );
    expect(codeOf(() => stage(calls, { content: NEW, ...new SlotDirectory(calls).vacate() }))).toBe(
      'install_object_missing',
    );
  });

  it('go back when the trial is given up, and when it is rolled back; what runs is never written', () => {
    const calls = createTreeCalls(root);
    bringObjects(calls, OLD);
    runUntil(calls, OLD);
    bringObjects(calls, NEW);
    const slots = new SlotDirectory(calls);
    const tryNew = (): number => {
      stage(calls, { content: NEW, ...slots.vacate() });
      slots.activate(NEW.release.sha256, LIMITS);
      const { run, trial } = prepareRun(calls);
      expect(run?.slot).toBe('b');
      return trial?.id ?? 0;
    };
    const trial = tryNew();
    expect(codeOf(() => slots.vacate())).toBe('install_trial_running');
    giveUp(calls, trial);
    expect(prepareRun(calls)).toEqual({ run: { slot: 'a', sha256: OLD.release.sha256 }, trial: null });
    expect(slots.status().trial).toMatchObject({ starts: 1, givenUp: true });
    tryNew();
    slots.rollBack(LIMITS);
    expect(prepareRun(calls).run?.slot).toBe('a');
    // Once it was committed, the old one can be tried again, and left again.
    tryNew();
    slots.markGood(NEW.release.sha256);
    slots.rollBack(LIMITS);
    expect(prepareRun(calls)).toMatchObject({ run: { slot: 'a' }, trial: { starts: LIMITS.starts } });
    slots.rollBack(LIMITS);
    expect(prepareRun(calls)).toEqual({ run: { slot: 'b', sha256: NEW.release.sha256 }, trial: null });
  });
});
