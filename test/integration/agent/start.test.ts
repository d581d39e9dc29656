import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openOwnRelease } from '@paddock/agent/own-release.ts';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { giveUp, prepareRun } from '@paddock/agent/slots/launch.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { readBoot } from '@paddock/agent/slots/boot-record.ts';
import { stage } from '@paddock/agent/slots/stage.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../harness/agent/fake-clock.ts';
import { bringObjects, LIMITS, releaseOf, runUntil, type TestRelease } from '../../harness/agent/slots.ts';

const START = join(import.meta.dirname, '../../../agent/bin/paddock-start.cjs');
const AGENT = 'paddock-agent/paddock-agent.cjs';
const says = (name: string): string => `process.stdout.write('${name} ' + process.argv.slice(2).join(' '));\n`;
const FIRST = releaseOf(1, { [AGENT]: says('first') });
const NEXT = releaseOf(2, { [AGENT]: says('next') });
const PLAIN = releaseOf(3, { data: 'without an agent' });
const HOLLOW = releaseOf(4, { [AGENT]: null });

let home: string;
let slots: string;
beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'paddock-start-')));
  slots = join(home, 'slots');
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Starts what is to be started. @returns what it says, or that it is the agent of this checkout */
async function started(): Promise<string> {
  const args = [START, '--slots', slots, '--starts', join(home, 'starts.json'), '--', '--version'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return /^\d+\.\d+\.\d+\n$/.test(stdout) ? 'own' : stdout;
}

function directory(): ReturnType<typeof createTreeCalls> {
  mkdirSync(slots, { recursive: true });
  return createTreeCalls(slots);
}

function install(calls: ReturnType<typeof directory>, release: TestRelease): void {
  bringObjects(calls, release);
  runUntil(calls, release);
}

/** The launcher is told to begin with it. */
function arm(calls: ReturnType<typeof directory>, content: TestRelease): void {
  const own = new SlotDirectory(calls);
  bringObjects(calls, content);
  stage(calls, { content, ...own.vacate() });
  own.activate(content.release.sha256, LIMITS);
}

describe('what is started as the agent', () => {
  it("is the package's own without slots, with empty ones, and under a release that has none", async () => {
    expect(await started()).toBe('own');
    const calls = directory();
    expect(await started()).toBe('own');
    install(calls, PLAIN);
    expect(await started()).toBe('own');
    install(calls, HOLLOW);
    expect(await started()).toBe('own');
  });

  it("is the package's own where the slots cannot be read", async () => {
    writeFileSync(slots, 'no directory');
    expect(await started()).toBe('own');
  });

  it('is that of the release although nobody can read how often it was started, which is counted anew', async () => {
    install(directory(), FIRST);
    writeFileSync(join(home, 'starts.json'), '{');
    expect(await started()).toBe('first --version');
    expect(JSON.parse(readFileSync(join(home, 'starts.json'), 'utf8'))).toMatchObject({ starts: 1 });
  });

  it('is counted where the service has its runtime files', async () => {
    install(directory(), FIRST);
    const env = { ...process.env, RUNTIME_DIRECTORY: home };
    await promisify(execFile)(process.execPath, [START, '--slots', slots, '--', 'run'], { env });
    expect(JSON.parse(readFileSync(join(home, 'agent-starts.json'), 'utf8'))).toMatchObject({ starts: 1 });
  });

  it('is that of the release, with what it is called with', async () => {
    install(directory(), FIRST);
    expect(await started()).toBe('first --version');
  });

  it('is that of a release on trial from its start on, and that of before when the launcher has given it up', async () => {
    const calls = directory();
    install(calls, FIRST);
    arm(calls, NEXT);
    expect(await started()).toBe('first --version');
    prepareRun(calls);
    expect(await started()).toBe('next --version');
    giveUp(calls, readBoot(calls)?.trial?.id ?? 0);
    expect(await started()).toBe('first --version');
  });

  it("is the package's own after five starts in a row, until there is another release", async () => {
    const calls = directory();
    install(calls, FIRST);
    expect(await started()).toBe('first --version');
    const counted = JSON.parse(readFileSync(join(home, 'starts.json'), 'utf8')) as object;
    writeFileSync(join(home, 'starts.json'), JSON.stringify({ ...counted, starts: 5 }));
    expect(await started()).toBe('own');
    install(calls, NEXT);
    expect(await started()).toBe('next --version');
  });
});

describe('an agent ends', () => {
  it('when the launcher has begun with a release that has another one, and not before', async () => {
    const calls = directory();
    install(calls, FIRST);
    const clock = new FakeClock();
    const own = openOwnRelease({ PADDOCK_AGENT_SLOTS: slots, PADDOCK_AGENT_RELEASE: FIRST.release.sha256 }, clock);
    expect(own?.isOver()).toBe(false);
    let over: string | null = null;
    void own?.over.then((release) => (over = release));
    arm(calls, NEXT);
    await clock.advance(60_000);
    expect(over).toBeNull();
    prepareRun(calls);
    await clock.advance(60_000);
    expect(over).toBe('kiosk-app 1.2.0');
    expect(own?.isOver()).toBe(true);
  });

  it('when the launcher has given its trial up, and when a release without an agent follows', async () => {
    const calls = directory();
    install(calls, FIRST);
    arm(calls, NEXT);
    prepareRun(calls);
    const own = (sha256: string) =>
      openOwnRelease({ PADDOCK_AGENT_SLOTS: slots, PADDOCK_AGENT_RELEASE: sha256 }, new FakeClock());
    const tried = own(NEXT.release.sha256);
    expect(tried?.isOver()).toBe(false);
    giveUp(calls, readBoot(calls)?.trial?.id ?? 0);
    expect(tried?.isOver()).toBe(true);
    expect(await tried?.over).toBe('kiosk-app 1.1.0');
    install(calls, PLAIN);
    expect(await own(FIRST.release.sha256)?.over).toBe('kiosk-app 1.3.0');
  });

  it('not because the slots cannot be read', async () => {
    install(directory(), FIRST);
    const clock = new FakeClock();
    const own = openOwnRelease({ PADDOCK_AGENT_SLOTS: slots, PADDOCK_AGENT_RELEASE: FIRST.release.sha256 }, clock);
    rmSync(slots, { recursive: true });
    writeFileSync(slots, 'no directory');
    await clock.advance(60_000);
    expect(own?.isOver()).toBe(false);
  });

  it('never when it was started by hand', () => {
    expect(openOwnRelease({}, new FakeClock())).toBeNull();
  });
});
