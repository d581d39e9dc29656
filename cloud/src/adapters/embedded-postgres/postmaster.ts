import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Address, Cluster } from './cluster.ts';
import { EmbeddedPostgresError } from './errors.ts';

export interface Postmaster {
  readonly pid: number;
  /** Resolves when the process is gone, with how it ended and its last lines. */
  readonly ended: Promise<string>;
  /** Fast shutdown. Resolves when it is gone. */
  stop(): Promise<void>;
}

const READY = 'database system is ready to accept connections';
const LAST_LINES = 20;

/**
 * Starts the postmaster and waits until it accepts connections, recovery included. Nobody else may be on the
 * directory: the caller holds the lock, and the cluster's processes of an earlier service are gone.
 * @throws EmbeddedPostgresError `database_start_failed`
 */
export async function startPostmaster(
  cluster: Cluster,
  address: Address,
  onLine: (line: string) => void,
): Promise<Postmaster> {
  await forgetStaleProcess(cluster);
  const { file, args, ids } = cluster.postmaster(address);
  // A group of its own: Ctrl-C in a terminal reaches the service, which stops the database last.
  const child = spawn(file, args, {
    ...ids,
    cwd: '/',
    env: { LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const last: string[] = [];
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve([signal ?? `exit code ${code}`, ...last].join('\n')));
  });
  const ready = new Promise<true>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      last.push(line);
      if (last.length > LAST_LINES) last.shift();
      onLine(line);
      if (line.includes(READY)) resolve(true);
    });
  });
  const outcome = await Promise.race([ready, ended]);
  if (outcome !== true || child.pid === undefined)
    throw new EmbeddedPostgresError('database_start_failed', String(outcome));
  const stop = async (): Promise<void> => {
    child.kill('SIGINT');
    await ended;
  };
  return { pid: child.pid, ended, stop };
}

/**
 * After a reboot the process id in postmaster.pid may be another program's, and PostgreSQL would refuse to start.
 * No process of this cluster lives, so the file is stale whatever it says.
 */
async function forgetStaleProcess({ directory }: Cluster): Promise<void> {
  await rm(join(directory, 'postmaster.pid'), { force: true });
}
