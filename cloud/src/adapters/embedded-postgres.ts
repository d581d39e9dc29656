import { createHash } from 'node:crypto';
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chooseAddress, prepareCluster, urlOf, type Address, type Cluster } from './embedded-postgres/cluster.ts';
import { takeLock, type Lock } from './embedded-postgres/lock.ts';
import { startPostmaster, type Postmaster } from './embedded-postgres/postmaster.ts';
import { stopOrphans } from './embedded-postgres/processes.ts';

/** PostgreSQL's own lines come as `debug`, or as `warn` from its WARNING on. */
export type DatabaseLog = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;

export interface EmbeddedPostgresOptions {
  /** The cluster lies in `postgres` below it. Made when it is not there. */
  readonly dataDir: string;
  /** Random, and kept with the data directory. It also names the lock, so that nobody else can take that. */
  readonly password: string;
  readonly log?: DatabaseLog;
}

/** A private PostgreSQL that runs as long as the service does. */
export interface EmbeddedPostgres {
  /** For openPostgres; stays the same while the service runs, restarts of PostgreSQL included. */
  readonly url: string;
  /** The postmaster's process id, or null while it is being started again. */
  pid(): number | null;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
}

const SERIOUS = /\] (WARNING|ERROR|FATAL|PANIC): /;
const BACK_OFF = { firstMs: 250, maxMs: 30_000 } as const;

/**
 * Starts the private PostgreSQL of a data directory, as root or as a plain user, after whatever end the last one had.
 * When PostgreSQL dies, it is started again.
 * @throws EmbeddedPostgresError with the code of what is wrong, and PostgreSQL's last log lines
 */
export async function startEmbeddedPostgres({
  dataDir,
  password,
  log,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const directory = resolve(dataDir);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lock = await takeLock(createHash('sha256').update(`lock ${password}`).digest('hex'), directory);
  try {
    const cluster = await prepareCluster(directory, password);
    const supervisor = new Supervisor({
      cluster,
      lock,
      log: log ?? (() => undefined),
      address: await chooseAddress(cluster.directory),
    });
    await supervisor.start();
    return supervisor;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * The address of a private PostgreSQL that another process runs, from the file that its postmaster keeps.
 * @throws when it does not run, or when the file may not be read
 */
export async function runningPostgresUrl(dataDir: string, password: string): Promise<string> {
  const directory = join(await realpath(dataDir), 'postgres');
  // Lines: process, directory, start, port, directory of the socket, address (PostgreSQL's miscadmin.h).
  const [, , , port, , host] = (await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n');
  return urlOf({ host: host?.trim() || directory, port: Number(port) }, password);
}

interface SupervisorParts {
  readonly cluster: Cluster;
  readonly address: Address;
  readonly lock: Lock;
  readonly log: DatabaseLog;
}

class Supervisor implements EmbeddedPostgres {
  readonly url: string;
  readonly #parts: SupervisorParts;
  readonly #stopping = new AbortController();
  #postmaster: Postmaster | null = null;
  #restarting: Promise<void> = Promise.resolve();

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.url = urlOf(parts.address, parts.cluster.password);
  }

  pid(): number | null {
    return this.#postmaster?.pid ?? null;
  }

  async start(): Promise<void> {
    const { cluster, address, log } = this.#parts;
    const orphans = await stopOrphans(cluster.name);
    if (orphans.length > 0) log('warn', `stopped a PostgreSQL that was left behind: processes ${orphans.join(', ')}`);
    const postmaster = await startPostmaster(cluster, address, (line) =>
      log(SERIOUS.test(line) ? 'warn' : 'debug', line),
    );
    this.#postmaster = postmaster;
    log('info', `PostgreSQL runs as process ${postmaster.pid}`);
    void postmaster.ended.then((how) => this.#onEnd(how));
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    await this.#restarting;
    await this.#postmaster?.stop();
    this.#postmaster = null;
    await this.#parts.lock.release();
  }

  #onEnd(how: string): void {
    this.#postmaster = null;
    if (this.#stopping.signal.aborted) return;
    this.#parts.log('error', `PostgreSQL ended although nobody stopped it: ${how}`);
    this.#restarting = this.#restart();
  }

  async #restart(): Promise<void> {
    for (let delayMs: number = BACK_OFF.firstMs; ; delayMs = Math.min(delayMs * 2, BACK_OFF.maxMs)) {
      await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      try {
        return await this.start();
      } catch (error) {
        this.#parts.log(
          'error',
          `PostgreSQL does not start again: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  }
}
