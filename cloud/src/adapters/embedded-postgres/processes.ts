import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgresError } from './errors.ts';

const LOOK_AGAIN_MS = 50;
/** Fast shutdown first; then immediate shutdown, which the next start recovers from. Never SIGKILL. */
const ESCALATION = [
  { signal: 'SIGINT', waitMs: 20_000 },
  { signal: 'SIGQUIT', waitMs: 10_000 },
] as const satisfies readonly { signal: NodeJS.Signals; waitMs: number }[];

/**
 * Ends what a killed service left behind on this cluster, so that there are never two postmasters on one directory.
 * @returns the process ids that were found
 * @throws EmbeddedPostgresError `database_orphan` when they do not go away
 */
export async function stopOrphans(cluster: string): Promise<number[]> {
  const found = await processesOf(cluster);
  if (found.length === 0) return [];
  for (const { signal, waitMs } of ESCALATION) {
    for (const pid of await processesOf(cluster)) kill(pid, signal);
    if (await gone(cluster, waitMs)) return found;
  }
  throw new EmbeddedPostgresError('database_orphan', `processes ${(await processesOf(cluster)).join(', ')}`);
}

/**
 * The processes of a cluster by their command lines: the postmaster has its name among the arguments, its children in
 * their titles (`postgres: <cluster>: walwriter`). Command lines are readable across users, /proc/PID/cwd is not.
 */
export async function processesOf(cluster: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')));
  return pids.filter((_, index) => belongsTo(lines[index] ?? '', cluster));
}

/** @param commandLine as in /proc/PID/cmdline, arguments ended by NUL */
export const belongsTo = (commandLine: string, cluster: string): boolean =>
  commandLine.startsWith(`postgres: ${cluster}: `) || commandLine.split('\0').includes(`cluster_name=${cluster}`);

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function gone(cluster: string, waitMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < waitMs; waitedMs += LOOK_AGAIN_MS) {
    if ((await processesOf(cluster)).length === 0) return true;
    await sleep(LOOK_AGAIN_MS);
  }
  return false;
}
