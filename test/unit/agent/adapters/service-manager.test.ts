import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { journalPrefix, linePrefix } from '@paddock/agent/adapters/journal.ts';
import { addressOf, linesOf, openServiceManager, watchdogMs } from '@paddock/agent/adapters/service-manager.ts';
import { describe, expect, it } from 'vitest';
import { NotifySocket } from '../../../harness/agent/notify-socket.ts';

describe('the service manager is told', () => {
  it.each(['a file', 'a name without one'])('on a socket with %s', async (kind) => {
    const home = mkdtempSync(join(tmpdir(), 'paddock-notify-'));
    const path = kind === 'a file' ? join(home, 'notify') : `@paddock-notify-${process.pid}`;
    const socket = new NotifySocket(path);
    const manager = await openServiceManager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '60000000' });
    manager?.tell({ READY: '1', STATUS: 'Waits\nfor its cloud' });
    expect(await socket.until('READY')).toEqual({ READY: '1', STATUS: 'Waits for its cloud' });
    expect(manager?.watchdogMs).toBe(60_000);
    socket.close();
    // Nobody is there any more.
    manager?.tell({ STOPPING: '1' });
    rmSync(home, { recursive: true });
  });

  it('never, and waits for nobody, where who listens does not read', async () => {
    const socket = new NotifySocket(`@paddock-full-${process.pid}`);
    const manager = await openServiceManager({ NOTIFY_SOCKET: `@paddock-full-${process.pid}` });
    for (let n = 0; n < 10_000; n += 1) manager?.tell({ STATUS: `${n}` });
    socket.read();
    expect(socket.said.length).toBeLessThan(10_000);
    socket.close();
  });

  it('at addresses as the kernel has them: a path ends with a zero, a name begins with one', () => {
    expect([...(addressOf('/a') ?? [])]).toEqual([1, 0, 47, 97, 0]);
    expect([...(addressOf('@a') ?? [])]).toEqual([1, 0, 0, 97]);
  });

  it('nothing where nobody asked to be told', async () => {
    expect(await openServiceManager({})).toBeNull();
    expect(addressOf('relative/path')).toBeNull();
    expect(addressOf(`/${'x'.repeat(108)}`)).toBeNull();
  });

  it('a line each, whatever is said', () => {
    expect(linesOf({ STATUS: 'a\nREADY=1', WATCHDOG: '1' })).toBe('STATUS=a READY=1\nWATCHDOG=1');
  });

  it('that it is well by the process that it watches alone', () => {
    expect(watchdogMs({ WATCHDOG_USEC: '2000000', WATCHDOG_PID: '7' }, 7)).toBe(2_000);
    expect(watchdogMs({ WATCHDOG_USEC: '2000000', WATCHDOG_PID: '8' }, 7)).toBeNull();
    expect(watchdogMs({ WATCHDOG_USEC: 'x' }, 7)).toBeNull();
  });
});

describe('the journal', () => {
  it('knows lines by the levels of syslog', () => {
    expect([10, 20, 30, 40, 50, 60].map(journalPrefix)).toEqual(['<7>', '<7>', '<6>', '<4>', '<3>', '<2>']);
  });

  it('is known by its stream alone: what a service starts may write elsewhere', () => {
    expect(linePrefix('1:1')(50)).toBe('');
    expect(linePrefix(undefined)(50)).toBe('');
  });
});
