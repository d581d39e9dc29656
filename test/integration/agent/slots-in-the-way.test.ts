import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { createInstallerWork } from '@paddock/agent/slots/installer-work.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { bringObjects, faultsOf, LIMITS, releaseOf, runUntil } from '../../harness/agent/slots.ts';

const OLD = releaseOf(1, { 'bin/kiosk': 'one', 'web/same.js': 'same' });
const NEW = releaseOf(2, { 'bin/kiosk': 'two', 'web/same.js': 'same', 'web/x': 'x' });
const KIOSK = Buffer.from('two');

let root: string;
const at = (path: string): string => join(root, path);
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'paddock-way-'));
  const calls = createTreeCalls(root);
  bringObjects(calls, OLD);
  runUntil(calls, OLD);
  bringObjects(calls, NEW);
  writeFileSync(at('victim'), 'untouched');
  mkdirSync(at('elsewhere'));
  writeFileSync(at('elsewhere/victim'), 'untouched');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Stages what is new, whatever stands in the way of it, and leaves everything else as it was. */
function expectStaged(release = NEW): void {
  const calls = createTreeCalls(root);
  createInstallerWork(calls).stage(release);
  expect(faultsOf(calls, 'b', release.release.sha256, [release])).toEqual([]);
  createInstallerWork(calls).activate(release.release.sha256, LIMITS);
  expect(faultsOf(calls, 'a', OLD.release.sha256, [OLD])).toEqual([]);
  for (const victim of ['victim', 'elsewhere/victim']) expect(readFileSync(at(victim), 'utf8')).toBe('untouched');
}

/** What a broken disk, or a program that went wrong, leaves where something of ours belongs. */
const IN_THE_WAY: Record<string, (path: string) => void> = {
  'a file': (path) => writeFileSync(path, 'x'),
  'a link to a file': (path) => symlinkSync(at('victim'), path),
  'a link to a directory': (path) => symlinkSync(at('elsewhere'), path),
  'a link to nowhere': (path) => symlinkSync('/nowhere/at/all', path),
  'a directory': (path) => {
    mkdirSync(join(path, 'in'), { recursive: true });
    writeFileSync(join(path, 'in/it'), 'x');
  },
};

const PLACES = [
  'b',
  'b/.paddock',
  'b/.paddock/manifest.json',
  'b/.paddock/manifest.json.tmp',
  'b/.paddock/index',
  'b/bin',
  'b/bin/kiosk',
  `objects/${sha256Of(KIOSK)}.new`,
];

describe.each(PLACES)('where %s belongs', (place) => {
  test.each(Object.keys(IN_THE_WAY))('%s keeps no release from being staged, and nothing behind it changes', (what) => {
    mkdirSync(join(at(place), '..'), { recursive: true });
    IN_THE_WAY[what]?.(at(place));
    expectStaged();
  });
});

describe('objects', () => {
  const bring = (): void => {
    const work = createInstallerWork(createTreeCalls(root));
    work.list();
    work.put(sha256Of(KIOSK), KIOSK);
    work.settle();
    expect(work.list().get(sha256Of(KIOSK))).toBe(KIOSK.length);
  };

  it('are made where something else stands in the place of all of them, or of one', () => {
    rmSync(at('objects'), { recursive: true });
    symlinkSync(at('elsewhere'), at('objects'));
    bring();
    rmSync(at(`objects/${sha256Of(KIOSK)}`));
    mkdirSync(at(`objects/${sha256Of(KIOSK)}/in`), { recursive: true });
    bring();
    expect(readFileSync(at('elsewhere/victim'), 'utf8')).toBe('untouched');
  });
});

describe('a file of a slot that is written', () => {
  // One of another length is removed before, one of the same is read, and written anew.
  it.each([3, statSync('/bin/sleep').size])(
    'is a new one of %i bytes: a program that runs from the old one goes on',
    async (length) => {
      const release = releaseOf(3, { 'bin/kiosk': 'x'.repeat(length) });
      bringObjects(createTreeCalls(root), release);
      mkdirSync(at('b/bin'), { recursive: true });
      copyFileSync('/bin/sleep', at('b/bin/kiosk'));
      const program = spawn(at('b/bin/kiosk'), ['60'], { stdio: 'ignore' });
      const ended = once(program, 'exit');
      try {
        await once(program, 'spawn');
        expectStaged(release);
        expect(program.exitCode).toBeNull();
      } finally {
        program.kill();
        await ended;
      }
    },
  );

  it.each(['two', 'one, and longer'])(
    'is its own: another name of what lay there (%s) keeps its content and mode',
    (was) => {
      mkdirSync(at('b/bin'), { recursive: true });
      writeFileSync(at('other'), was, { mode: 0o600 });
      linkSync(at('other'), at('b/bin/kiosk'));
      expectStaged();
      expect(readFileSync(at('other'), 'utf8')).toBe(was);
      expect(statSync(at('other')).mode & 0o7777).toBe(0o600);
      expect(statSync(at('b/bin/kiosk')).nlink).toBe(1);
    },
  );

  it('takes the place of a link, and not of what that leads to', () => {
    mkdirSync(at('b/bin'), { recursive: true });
    symlinkSync(at('victim'), at('b/bin/kiosk'));
    symlinkSync(at('b/bin/kiosk'), at('b/again'));
    expectStaged();
    expect(() => readlinkSync(at('b/bin/kiosk'))).toThrow('EINVAL');
  });
});
