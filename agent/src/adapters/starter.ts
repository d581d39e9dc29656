import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProgramEnd, Starter } from '../ports-firmware.ts';
import { processesOf, type FoundProcess } from './starter/processes.ts';

/**
 * Becomes the program, and leaves a watch beside it in the same group: a read that ends when the launcher does, however
 * that happens, because nobody else holds the other end. Then the whole group ends. What had left the group is found by
 * its mark at the launcher's next start.
 */
const WATCHED = 'trap "" TERM HUP INT; (read -r _ <&3; kill -KILL 0) & trap - TERM HUP INT; exec 3<&- "$@"';

const LOOK_EVERY_MS = 20;
const WATCHED_NAME = 'paddock-watch';

/** A process that was killed is gone within this time, or the kernel itself holds it. */
const KILLED_WITHIN_MS = 3_000;

/**
 * Programs as processes, each in a session and group of its own.
 * @param mark what stands in the environment of all of them: `NAME=value`
 */
export const createStarter = (mark: string): Starter => ({
  start(command, { directory, environment }) {
    const child = spawn('/bin/sh', ['-c', WATCHED, WATCHED_NAME, ...command], {
      cwd: directory,
      env: environment,
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    });
    child.stdio[3]?.on('error', () => {});
    const ended = new Promise<ProgramEnd>((resolve) => {
      child.on('exit', (code, signal) => resolve({ code, signal }));
      child.on('error', () => resolve({ code: null, signal: null }));
    });
    const pid = child.pid ?? null;
    return { pid, ended, end: (graceMs) => endAll(mark, pid, graceMs) };
  },
  async endLeftovers(graceMs) {
    const found = await processesOf(mark, null);
    if (found.length > 0) await endAll(mark, null, graceMs);
    return found.length;
  },
});

/** @returns how many are left */
async function endAll(mark: string, group: number | null, graceMs: number): Promise<number> {
  for (const { pid } of await processesOf(mark, group)) send(pid, 'SIGTERM');
  const isDone = async (): Promise<boolean> => (await processesOf(mark, group)).every(isWatch);
  await until(isDone, graceMs);
  let left = 0;
  await until(async () => {
    const found = await processesOf(mark, group);
    for (const { pid } of found) send(pid, 'SIGKILL');
    left = found.length;
    return left === 0;
  }, KILLED_WITHIN_MS);
  return left;
}

/** Alone it has nobody to watch. Before the program has taken its place, the leader of the group looks like it. */
const isWatch = ({ pid, group, command }: FoundProcess): boolean =>
  pid !== group && command.includes(`\0${WATCHED_NAME}\0`);

async function until(isSo: () => Promise<boolean>, withinMs: number): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  while (!(await isSo()) && performance.now() < giveUpAt) await sleep(LOOK_EVERY_MS);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
