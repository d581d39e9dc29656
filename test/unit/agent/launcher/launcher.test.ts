import { SlotLauncher } from '@paddock/agent/launcher/launcher.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { stage } from '@paddock/agent/slots/stage.ts';
import { manifestOf } from '@paddock/agent/slots/whole.ts';
import type { ProgramEnd, Starter, TreeCalls } from '@paddock/agent/ports-firmware.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FaultyCalls } from '../../../harness/agent/faulty-calls.ts';
import { bringObjects, releaseOf, runUntil } from '../../../harness/agent/slots.ts';
import { TreeFiles } from '../../../harness/agent/tree-files.ts';

const OLD = releaseOf(1, { 'bin/kiosk': 'one' });
const NEW = releaseOf(2, { 'bin/kiosk': 'two' });

let files: TreeFiles;
let clock: FakeClock;
let started: { slot: string; end: (code: number) => void }[];
let told: string[];
let launcher: SlotLauncher;

const starter: Starter = {
  start(command, { directory }) {
    expect(command).toEqual(['./bin/kiosk']);
    let end: (end: ProgramEnd) => void = () => {};
    const ended = new Promise<ProgramEnd>((resolve) => (end = resolve));
    started.push({ slot: directory.slice(-1), end: (code) => end({ code, signal: null }) });
    return {
      pid: started.length,
      ended,
      end: async () => {
        end({ code: null, signal: 'SIGTERM' });
        return 0;
      },
    };
  },
  endLeftovers: async () => 0,
};

const slots = (): string => started.map(({ slot }) => slot).join('');

function launch(calls: TreeCalls): AbortController {
  const note = (fields: object): void => void ('code' in fields && told.push(String(fields.code)));
  const log = { debug: note, info: note, warn: note, error: note };
  const place = { directory: '/slots', appDirectory: '/slots/data', nodeDirectory: '/node' };
  launcher = new SlotLauncher({ calls, starter, clock, log }, { ...place, environment: {}, graceMs: 1 });
  const stop = new AbortController();
  void launcher.run(stop.signal);
  return stop;
}

beforeEach(() => {
  [clock, started, told, files] = [new FakeClock(), [], [], new TreeFiles()];
  bringObjects(files, OLD);
  runUntil(files, OLD);
  bringObjects(files, NEW);
});

function tryNew(withinMs: number): void {
  const directory = new SlotDirectory(files);
  stage(files, { content: NEW, ...directory.vacate() });
  directory.activate(NEW.release.sha256, { starts: 3, withinMs });
}

describe('the launcher, whatever time it takes', () => {
  it('gives a trial all of its time over all of its starts, and no more', async () => {
    tryNew(100_000);
    launch(files);
    await clock.advance(60_000);
    started.at(-1)?.end(1);
    await clock.advance(30_000);
    expect(slots()).toBe('bb');
    await clock.advance(11_000);
    expect(slots()).toBe('bba');
    expect(told).toContain('launcher_gave_up');
  });

  it('goes back although it cannot write down that it does', async () => {
    tryNew(10_000);
    const disk = new FaultyCalls(files, null);
    launch(disk.calls);
    await clock.advance(9_000);
    expect(slots()).toBe('b');
    disk.fault = { at: 0, code: 'ENOSPC', for: 'writes' };
    await clock.advance(2_000);
    expect(slots()).toBe('ba');
    disk.fault = null;
    await launcher.restart();
    expect(slots()).toBe('baa');
    expect(new SlotDirectory(files).status().trial).toMatchObject({ givenUp: true });
  });

  it('tries again, and not at once, while the disk cannot be read', async () => {
    const disk = new FaultyCalls(files, { at: 0, code: 'EIO', for: 'all' });
    launch(disk.calls);
    await clock.advance(100);
    expect(slots()).toBe('');
    expect(told.filter((code) => code === 'launcher_nothing').length).toBe(1);
    await clock.advance(10_000);
    expect(told.filter((code) => code === 'launcher_nothing').length).toBeLessThan(10);
    disk.fault = null;
    await clock.advance(30_000);
    expect(slots()).toBe('a');
  });

  it('runs what the other slot holds when the disk lost what was committed, and says so', async () => {
    tryNew(10_000);
    launch(files);
    await clock.advance(1);
    new SlotDirectory(files).rollBack({ starts: 1, withinMs: 1 });
    files.remove(manifestOf('a'));
    await launcher.restart();
    expect(slots()).toBe('bb');
    expect(told).toContain('launcher_slot_lost');
    expect(new SlotDirectory(files).vacate()).toEqual({ to: 'a', from: 'b' });
  });

  it('is asked while it waits, and waits no more', async () => {
    launch(files);
    await clock.advance(1);
    started.at(-1)?.end(1);
    await clock.advance(100);
    expect(slots()).toBe('a');
    await launcher.restart();
    expect(slots()).toBe('aa');
    expect(launcher.status()).toMatchObject({ slot: 'a', pid: 2, restarts: 0 });
  });

  it('ends what runs when it is told to end', async () => {
    const stop = launch(files);
    await clock.advance(1);
    stop.abort();
    await clock.advance(1);
    expect(slots()).toBe('a');
    expect(launcher.status().pid).toBeNull();
  });
});
