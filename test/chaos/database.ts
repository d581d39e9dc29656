import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDataDir } from '@paddock/cloud/adapters/data-dir.ts';
import { startEmbeddedPostgres } from '@paddock/cloud/adapters/embedded-postgres.ts';
import { clusterName } from '@paddock/cloud/adapters/embedded-postgres/cluster.ts';
import { processesOf } from '@paddock/cloud/adapters/embedded-postgres/processes.ts';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import type { CloudPlaces } from './clouds.ts';
import { eventually } from './waiting.ts';

/** A PostgreSQL that is killed and comes back. */
export interface ChaosDatabase {
  /** How services reach it; null when a service starts it itself. */
  readonly given: CloudPlaces['database'];
  /** kill -9 of the postmaster, as soon as there is one. */
  kill(): Promise<void>;
  /** SIGSTOP: it is there and answers nothing; SIGCONT lets it go on. */
  signalAll(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Stops it for good, as an administrator would; `comeBack` starts it again. Only one that no service starts. */
  leave(): Promise<void>;
  comeBack(): Promise<void>;
  /** Processes that are there although everybody who uses it has stopped. */
  leftBehind(): Promise<string[]>;
  /** Reads it, when all services have stopped. */
  read<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

/** The one that the service starts in its data directory, and starts again. */
export function privateDatabase(dataDir: string): ChaosDatabase {
  const cluster = clusterIn(dataDir);
  const notOurs = async (): Promise<void> => {
    throw new Error('The service starts this one');
  };
  return {
    given: null,
    ...cluster,
    leave: notOurs,
    comeBack: notOurs,
    leftBehind: async () => (await cluster.processes()).map((pid) => `PostgreSQL ${pid}`),
    async read(work) {
      const { path, databasePassword } = await openDataDir(dataDir);
      const server = await startEmbeddedPostgres({ dataDir: path, password: databasePassword });
      try {
        return await reading(server.url, work);
      } finally {
        await server.stop();
      }
    },
    stop: async () => undefined,
  };
}

/** One beside the services, in a directory of its own. This process starts it again. */
export async function ownDatabase(): Promise<ChaosDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'paddock-chaos-database-'));
  const password = randomBytes(32).toString('base64url');
  let server = await startEmbeddedPostgres({ dataDir, password });
  const cluster = clusterIn(dataDir);
  const url = new URL(server.url);
  const socket = url.searchParams.get('host');
  const place = socket === null ? Number(url.port) : `${socket}/.s.PGSQL.${url.port}`;
  return {
    given: {
      target: () => place,
      urlAt: (port) => `postgres://${url.username}:${password}@127.0.0.1:${port}${url.pathname}`,
    },
    ...cluster,
    leave: () => server.stop(),
    comeBack: async () => void (server = await startEmbeddedPostgres({ dataDir, password })),
    leftBehind: async () => [],
    read: (work) => reading(server.url, work),
    async stop() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function reading<T>(url: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const store = openPostgres({ url, connections: 1 });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** What is done to the processes of a cluster, whoever started them. */
function clusterIn(dataDir: string) {
  const processes = async (): Promise<number[]> =>
    processesOf(clusterName(join(await realpath(dataDir).catch(() => dataDir), 'postgres')));
  /** The first line of postmaster.pid, if a process of this cluster has that id: the file outlives its process. */
  const postmaster = async (): Promise<number | null> => {
    const text = await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8').catch(() => '');
    const pid = Number(text.split('\n')[0]);
    return (await processes()).includes(pid) ? pid : null;
  };
  return {
    processes,
    async kill(): Promise<void> {
      const pid = await eventually('a postmaster to kill', async () => signalled(await postmaster(), 'SIGKILL'));
      await eventually('the postmaster to die', async () => !(await processes()).includes(pid));
    },
    async signalAll(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
      for (const pid of await processes()) signalled(pid, signal);
    },
  };
}

/** The postmaster of a service that was killed is on its way out: it may be gone by now, and then the next one is due. */
function signalled(pid: number | null, signal: NodeJS.Signals): number | null {
  if (pid === null) return null;
  try {
    process.kill(pid, signal);
    return pid;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
    return null;
  }
}
