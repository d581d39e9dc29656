import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { connectLauncher } from '@paddock/agent/adapters/launcher-client.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../harness/agent/fake-clock.ts';
import { LAUNCHER_PROGRAM, LauncherProcess } from '../../harness/agent/launcher-process.ts';
import { releaseOf, type TestRelease } from '../../harness/agent/slots.ts';

const kiosk = (counter: number, script: string): TestRelease =>
  releaseOf(counter, { 'bin/kiosk': `#!/bin/sh\necho ${counter} >>"$PADDOCK_APP_DIR/ran"\n${script}\n` });
const OLD = kiosk(1, 'exec sleep 1000');
const NEW = kiosk(2, 'exec sleep 1000');
const BAD = kiosk(3, 'exit 7');

let launcher: LauncherProcess;
beforeEach(() => {
  launcher = new LauncherProcess();
});
afterEach(() => launcher.remove());

const told = (code: string): boolean => launcher.log.includes(`"code":"${code}"`);
const ran = (...counters: number[]): Promise<void> =>
  until(
    () => counters.join() === launcher.ran.join(),
    `that these ran: ${counters.join()}, not ${launcher.ran.join()}`,
  );

describe('the launcher', () => {
  it('runs what was committed in a clean environment, and ends all of it when it is told to', async () => {
    const script =
      'cd "$PADDOCK_APP_DIR"; (env; echo "$OLDPWD") >new; mv new env; setsid sleep 1000 & trap "" TERM; wait';
    launcher.commit(kiosk(1, script));
    launcher.start();
    await ran(1);
    await until(() => existsSync(join(launcher.root, 'data/env')), 'the environment');
    const [slot, ...environment] = readFileSync(join(launcher.root, 'data/env'), 'utf8')
      .trim()
      .split('\n')
      .toReversed();
    expect(slot).toBe(join(launcher.root, 'a'));
    const names = environment.map((line) => line.split('=')[0]);
    expect(names).toEqual(expect.arrayContaining(['PATH', 'PADDOCK_SLOT', 'PADDOCK_APP_DIR', 'PADDOCK_LAUNCHER']));
    expect(names).not.toContain('VITEST');
    expect(environment).toContainEqual(expect.stringContaining(`PATH=${dirname(process.execPath)}:`));
    expect(await launcher.stop()).toBe(0);
    expect(await launcher.processes()).toEqual([]);
  });

  it('says what it runs, and chooses anew when it is asked to', async () => {
    launcher.commit(OLD);
    launcher.start();
    await ran(1);
    expect(statSync(join(launcher.root, 'launcher.sock')).mode & 0o777).toBe(0o600);
    const before = await launcher.client.status();
    expect(before).toMatchObject({ slot: 'a', sha256: OLD.release.sha256, restarts: 0 });
    launcher.try(NEW);
    await launcher.client.restart();
    const after = await launcher.client.status();
    expect(after).toMatchObject({ slot: 'b', sha256: NEW.release.sha256, restarts: 0 });
    expect(after?.startedAt).toBeGreaterThan(before?.startedAt ?? Infinity);
    await ran(1, 2);
    const command = (): string => readFileSync(`/proc/${after?.pid}/cmdline`, 'latin1');
    await until(() => command() === 'sleep\u00001000\u0000', 'the program in place of its shell');
    expect(() => process.kill(before?.pid ?? 0, 0)).toThrow('ESRCH');
  });

  it('goes back by itself when a trial does not stay up, and starts it no more', async () => {
    launcher.commit(OLD);
    launcher.try(BAD, { starts: 2, withinMs: 60_000 });
    launcher.start();
    await ran(3, 3, 1);
    expect(launcher.slots.status()).toMatchObject({
      running: { release: OLD.release, committed: true },
      trial: { release: BAD.release, starts: 2, givenUp: true },
    });
    await launcher.client.restart();
    await ran(3, 3, 1, 1);
  });

  it('goes back by itself when nobody settles a trial, and stays when somebody does', async () => {
    launcher.commit(OLD);
    launcher.try(NEW, { starts: 3, withinMs: 500 });
    launcher.start();
    await ran(2, 1);
    expect(told('launcher_gave_up')).toBe(true);
    launcher.try(NEW, { starts: 3, withinMs: 500 });
    await launcher.client.restart();
    launcher.slots.markGood(NEW.release.sha256);
    await new Promise((resolve) => setTimeout(resolve, 800));
    await ran(2, 1, 2);
  });

  it('starts a program again that ends, later each time', async () => {
    launcher.commit(kiosk(1, 'exit 7'));
    launcher.start();
    await ran(1, 1, 1);
    expect(await launcher.client.status()).toMatchObject({ slot: 'a' });
    expect(launcher.log).toContain('"code":"launcher_ended","exitCode":7');
  });

  it('leaves nothing behind when it is killed', async () => {
    launcher.commit(kiosk(1, 'setsid sleep 1000 & sleep 1000 & exec sleep 1001'));
    launcher.start();
    const left = async (): Promise<string[]> => (await launcher.processes()).map(({ command }) => command);
    const sleeping = async (): Promise<number> =>
      (await left()).filter((command) => command.startsWith('sleep')).length;
    await expect.poll(sleeping, { timeout: 10_000 }).toBe(3);
    await launcher.kill();
    // What had left the group, and does not last longer than the next start.
    await expect.poll(left, { timeout: 10_000 }).toEqual(['sleep\u00001000\u0000']);
    launcher.start();
    await ran(1, 1);
    expect(told('launcher_leftovers')).toBe(true);
    expect(await launcher.stop()).toBe(0);
    expect(await launcher.processes()).toEqual([]);
  });

  it('runs nothing of a bundle of data, and waits where there is nothing at all', async () => {
    launcher.start();
    await until(() => told('launcher_nothing'), 'that there is nothing');
    const data = releaseOf(1, { 'map.json': '{}' }, { run: undefined });
    launcher.commit(data);
    await launcher.client.restart();
    expect(await launcher.client.status()).toMatchObject({ slot: 'a', sha256: data.release.sha256, pid: null });
  });

  it('goes on when it cannot be asked', async () => {
    launcher.commit(OLD);
    launcher.start('--socket', join(launcher.root, 'missing/launcher.sock'));
    await ran(1);
    expect(told('launcher_socket')).toBe(true);
    expect(await launcher.client.status()).toBeNull();
  });
});

const call = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  promisify(execFile)(process.execPath, [LAUNCHER_PROGRAM, ...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (failed: { code: number; stdout: string; stderr: string }) => failed,
  );

describe('the command line of the launcher', () => {
  it('explains itself, and says what is wrong with a call', async () => {
    expect(await call('--version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
    });
    expect(await call('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('--slots <dir>') as string });
    for (const wrong of [[], ['--slots', ''], ['--slot', 'x'], ['--slots', 'x', '--grace', 'long']])
      expect(await call(...wrong)).toMatchObject({ code: 2, stderr: expect.stringContaining('error: ') as string });
  });

  it('lets nobody else work on the same slots', async () => {
    launcher.start();
    await until(() => told('launcher_nothing'), 'the first launcher');
    expect(await call('--slots', launcher.root)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('(data_dir_in_use)') as string,
    });
  });
});

describe('the socket of the launcher', () => {
  const ask = (text: string): Promise<string> =>
    new Promise((resolve) => {
      let answer = '';
      const socket = connect(join(launcher.root, 'launcher.sock'), () => socket.write(text));
      socket.on('data', (part) => void (answer += part.toString()));
      socket.on('error', () => {});
      socket.on('close', () => resolve(answer));
    });

  it('refuses what is no request, and lives on', async () => {
    launcher.start();
    await until(() => told('launcher_nothing'), 'the launcher');
    for (const garbage of ['\n', 'status\n', '{"ask":"reboot"}\n', '[]\n', 'x'.repeat(100_000)])
      expect(await ask(garbage)).toBe(
        '{"error":{"code":"launcher_request_invalid","message":"ask for status or restart"}}\n',
      );
    expect(await launcher.client.status()).toMatchObject({ slot: null, sha256: null, pid: null, restarts: 0 });
  });

  let server: Server | null = null;
  afterEach(() => {
    server?.close();
    server = null;
  });
  const answering = async (text: string): Promise<ReturnType<typeof connectLauncher>> => {
    const path = join(launcher.root, 'fake.sock');
    const listening = createServer((socket) => {
      socket.on('error', () => {});
      if (text !== '') socket.write(text);
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(path, resolve));
    return connectLauncher(path, { statusMs: 200, restartMs: 200 });
  };

  it.each([
    ['nothing', ''],
    ['words', 'hello\n'],
    ['an error', '{"error":{"code":"launcher_request_invalid","message":""}}\n'],
    ['half a status', '{"status":{"slot":"c"}}\n'],
    ['too much', 'x'.repeat(10_000)],
  ])('is not believed when it says %s', async (_, text) => {
    const client = await answering(text);
    expect(await client.status()).toBeNull();
    await expect(client.restart()).rejects.toMatchObject({ code: 'launcher_unreachable' });
  });

  it('is not there before the launcher is', async () => {
    expect(await launcher.client.status()).toBeNull();
    await expect(launcher.client.restart()).rejects.toMatchObject({ code: 'launcher_unreachable' });
  });
});
