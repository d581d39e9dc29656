import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPrograms } from '@paddock/agent/adapters/programs.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const clock = createSystemClock();
const programs = createPrograms(clock);
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'paddock-programs-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const run = (script: string, timeoutMs = 10_000, signal = new AbortController().signal) =>
  programs.run(['sh', '-c', script], { directory, timeoutMs, signal });

/** Whether a process of that number runs; a killed one may wait for whoever collects it. */
async function isGone(file: string): Promise<boolean> {
  const pid = readFileSync(join(directory, file), 'utf8').trim();
  for (let turn = 0; turn < 100; turn += 1) {
    if (!existsSync(`/proc/${pid}`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return true;
    await clock.sleep(20);
  }
  return false;
}

describe('a program of a slot', () => {
  it('runs in its directory, and says how it ended and what it said', async () => {
    expect(await run('pwd; echo wrong >&2; exit 3')).toEqual({
      code: 3,
      timedOut: false,
      output: expect.stringMatching(new RegExp(`${directory}\n?(.|\n)*wrong`)),
    });
    expect(await run('kill -9 $$')).toMatchObject({ code: null, timedOut: false });
    expect(
      await programs.run(['/none'], { directory, timeoutMs: 1_000, signal: AbortSignal.timeout(5_000) }),
    ).toMatchObject({
      code: 127,
    });
  });

  it('is killed at the end of its time with all that it started, sessions of their own included', async () => {
    const ended = await run('sleep 100 & echo $! >child; setsid sleep 100 & echo $! >session; sleep 100', 500);
    expect(ended).toMatchObject({ code: null, timedOut: true });
    expect(await isGone('child')).toBe(true);
    expect(await isGone('session')).toBe(true);
  });

  it('that forks and ends leaves nothing behind, and keeps nobody waiting', async () => {
    const ended = await run('(setsid sh -c "echo \\$\\$ >left; sleep 100") & while [ ! -s left ]; do sleep 0.01; done');
    expect(ended).toMatchObject({ code: 0, timedOut: false });
    expect(await isGone('left')).toBe(true);
  });

  it('that an agent left behind when it was killed ends when the next one runs there', async () => {
    const left = spawn('sh', ['-c', 'echo $$ >left; sleep 100'], {
      detached: true,
      cwd: directory,
      env: { ...process.env, PADDOCK_PROGRAM: directory },
      stdio: 'ignore',
    });
    while (!existsSync(join(directory, 'left'))) await clock.sleep(5);
    expect(await run('true')).toMatchObject({ code: 0 });
    expect(await isGone('left')).toBe(true);
    left.kill('SIGKILL');
  });

  it('that listens to no signal is killed all the same', async () => {
    const ended = await run('trap "" TERM INT HUP; echo $$ >deaf; while :; do sleep 0.1; done', 500);
    expect(ended).toMatchObject({ code: null, timedOut: true });
    expect(await isGone('deaf')).toBe(true);
  });

  it('that the system does not even try to start has failed, and nothing else', async () => {
    const long = 'x'.repeat(4_000_000);
    expect(
      await programs.run(['sh', '-c', 'true', long], {
        directory,
        timeoutMs: 1_000,
        signal: AbortSignal.timeout(5_000),
      }),
    ).toMatchObject({ code: 127, timedOut: false });
  });

  it('may say as much as it likes: the end of it is kept', async () => {
    const { output } = await run('i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done');
    expect(Buffer.byteLength(output)).toBeLessThanOrEqual(4_096);
    expect(output.trimEnd().endsWith('line 19999')).toBe(true);
  });

  it('ends when it is told to', async () => {
    const stop = new AbortController();
    const running = run('sleep 100', 60_000, stop.signal);
    stop.abort();
    expect(await running).toMatchObject({ code: null, timedOut: false });
  });
});
