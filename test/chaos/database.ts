import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { clusterName } from '@paddock/cloud/adapters/embedded-postgres/cluster.ts';
import { processesOf } from '@paddock/cloud/adapters/embedded-postgres/processes.ts';
import { eventually } from './waiting.ts';

const clusterOf = async (dataDir: string): Promise<string> => clusterName(join(await realpath(dataDir), 'postgres'));

/** Every process of the private PostgreSQL. */
export const databaseProcesses = async (dataDir: string): Promise<number[]> => processesOf(await clusterOf(dataDir));

/** kill -9 of the postmaster, as soon as there is one; its service has to start it again. */
export async function killPostmaster(dataDir: string): Promise<void> {
  const pid = await eventually('a postmaster to kill', async () => killed(await postmasterOf(dataDir)));
  await eventually('the postmaster to die', async () => !(await databaseProcesses(dataDir)).includes(pid));
}

/** The first line of postmaster.pid, if a process of this cluster has that id: the file outlives its process. */
async function postmasterOf(dataDir: string): Promise<number | null> {
  const text = await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  return (await databaseProcesses(dataDir)).includes(pid) ? pid : null;
}

/** The postmaster of a service that was killed is on its way out: it may be gone by now, and then the next one is due. */
function killed(pid: number | null): number | null {
  if (pid === null) return null;
  try {
    process.kill(pid, 'SIGKILL');
    return pid;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
    return null;
  }
}
