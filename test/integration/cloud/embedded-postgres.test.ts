import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@paddock/cloud/adapters/embedded-postgres.ts';
import { databaseAccount } from '@paddock/cloud/adapters/embedded-postgres/account.ts';
import { clusterName, prepareCluster } from '@paddock/cloud/adapters/embedded-postgres/cluster.ts';
import { processesOf } from '@paddock/cloud/adapters/embedded-postgres/processes.ts';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';

const PASSWORD = 'a-password-for-one-test-only';
const OWNER = fileURLToPath(new URL('../../harness/database-owner.ts', import.meta.url));
const AS_ROOT = process.getuid?.() === 0;
/** Root's tests run the owner as another user too; a plain user has only itself. */
const NOBODY = Number(execFileSync('id', ['-u', 'nobody']));
const OWNERS: readonly [who: string, uid: number | undefined][] = AS_ROOT
  ? [
      ['root', 0],
      ['a plain user', NOBODY],
    ]
  : [['a plain user', undefined]];

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'paddock-embedded-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  return directory;
}

async function start(dataDir: string, lines: string[] = []): Promise<EmbeddedPostgres> {
  const database = await startEmbeddedPostgres({ dataDir, password: PASSWORD, log: (_, line) => lines.push(line) });
  cleanups.push(() => database.stop());
  return database;
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const store = openPostgres({ url, connections: 1 });
  try {
    return await store.query(text);
  } finally {
    await store.close();
  }
}

/** Starts a process of its own that owns the database of a directory. */
async function startOwner(
  dataDir: string,
  uid?: number,
): Promise<{ child: ChildProcess; said: Record<string, unknown> }> {
  const ids = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(process.execPath, [OWNER, dataDir, PASSWORD], { ...ids, stdio: ['ignore', 'pipe', 'inherit'] });
  cleanups.push(
    async () => child.exitCode === null && child.signalCode === null && (child.kill(), await once(child, 'exit')),
  );
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, said: JSON.parse(line) as Record<string, unknown> };
}

const processesIn = (dataDir: string): Promise<number[]> => processesOf(clusterName(join(dataDir, 'postgres')));

async function eventually<T>(look: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await look();
    } catch (error) {
      if (tries > 200) throw error;
      await sleep(50);
    }
  }
}

describe('the private PostgreSQL', () => {
  test('keeps its data over a clean end, which leaves no process', async () => {
    const directory = await freshDirectory();
    const first = await start(directory);
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    expect(await processesIn(directory)).toEqual([]);
    const second = await start(directory);
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  });

  test('is durable, closed to others, and the same on every machine', async () => {
    const directory = await freshDirectory();
    const { url } = await start(directory);
    const [settings] = await query(
      url,
      `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
              current_setting('full_page_writes') AS pages, current_setting('data_checksums') AS checksums,
              current_setting('listen_addresses') AS addresses, current_setting('server_encoding') AS encoding,
              (SELECT datlocale FROM pg_database WHERE datname = current_database()) AS locale`,
    );
    expect(settings).toEqual({
      fsync: 'on',
      commit: 'on',
      pages: 'on',
      checksums: 'on',
      addresses: '',
      encoding: 'UTF8',
      locale: 'C.UTF-8',
    });
    expect((await stat(join(directory, 'postgres'))).mode & 0o777).toBe(0o700);
    // Root's database runs as another user, whose group may pass through and no more.
    expect((await stat(directory)).mode & 0o777).toBe(AS_ROOT ? 0o710 : 0o700);
    await expect(query(url.replace(PASSWORD, 'guessed'), 'SELECT 1')).rejects.toThrow('password authentication failed');
  });

  test('refuses a second instance on its directory, naming the process', async () => {
    const directory = await freshDirectory();
    const first = await start(directory);
    await expect(start(directory)).rejects.toMatchObject({
      code: 'data_dir_in_use',
      message: expect.stringContaining(`process ${process.pid} `),
    });
    const { said } = await startOwner(directory);
    expect(said).toMatchObject({ code: 'data_dir_in_use' });
    expect(await query(first.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('starts again when it was killed, and says so', async () => {
    const directory = await freshDirectory();
    const lines: string[] = [];
    const database = await start(directory, lines);
    await query(database.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const killed = database.pid() ?? 0;
    process.kill(killed, 'SIGKILL');
    expect(await eventually(() => query(database.url, 'SELECT answer FROM kept'))).toEqual([{ answer: 42 }]);
    expect(database.pid()).not.toBe(killed);
    expect(lines.join('\n')).toMatch(/PostgreSQL ended although nobody stopped it: SIGKILL/);
  });

  test('can be stopped while it is being started again', async () => {
    const directory = await freshDirectory();
    const database = await start(directory);
    process.kill(database.pid() ?? 0, 'SIGKILL');
    await eventually(async () => expect(database.pid()).toBeNull());
    await database.stop();
    expect(await processesIn(directory)).toEqual([]);
  });

  test.each(OWNERS)('survives kill -9 of its owner, run by %s', async (_, uid) => {
    const directory = await freshDirectory();
    if (uid !== undefined) await chown(directory, uid, uid);
    const first = await startOwner(directory, uid);
    await query(String(first.said['url']), 'CREATE TABLE kept AS SELECT 42 AS answer');
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await startOwner(directory, uid);
    expect(await query(String(second.said['url']), 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    const postmasters = (await processesIn(directory)).filter((pid) => pid === second.said['pid']);
    expect(postmasters).toHaveLength(1);
    second.child.kill('SIGTERM');
    await once(second.child, 'exit');
    expect(second.child.exitCode).toBe(0);
    expect(await processesIn(directory)).toEqual([]);
  });

  test('stops a PostgreSQL that a killed owner left behind', async () => {
    const directory = await freshDirectory();
    const cluster = await prepareCluster(directory, PASSWORD);
    const { file, args, ids } = cluster.postmaster({ host: cluster.directory, port: 5432 });
    const lonely = args.filter((arg) => !arg.startsWith('--pdeathsig'));
    const orphan = spawn(file, lonely, { ...ids, cwd: '/', stdio: 'ignore', detached: true });
    const ended = once(orphan, 'exit');
    await eventually(async () => expect((await processesOf(cluster.name)).length).toBeGreaterThan(3));
    const lines: string[] = [];
    const database = await start(directory, lines);
    await ended;
    expect(await query(database.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(lines.join('\n')).toContain('stopped a PostgreSQL that was left behind');
  });

  test('does not believe a process id from before a reboot', async () => {
    const directory = await freshDirectory();
    await (await start(directory)).stop();
    // PostgreSQL takes any living process of its own user for a postmaster.
    const stranger = spawn('sleep', ['60'], { ...(await databaseAccount()), stdio: 'ignore' });
    cleanups.push(async () => stranger.kill());
    await writeFile(join(directory, 'postgres/postmaster.pid'), `${stranger.pid}\n${directory}/postgres\n1\n5432\n`);
    const database = await start(directory);
    expect(await query(database.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('makes its directory anew when the first start was killed half-way', async () => {
    const directory = await freshDirectory();
    await mkdir(join(directory, 'postgres.draft/base'), { recursive: true });
    await writeFile(join(directory, 'postgres.draft-password'), 'left behind');
    const database = await start(directory);
    expect(await query(database.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('works below a directory that is closed to everybody else', async () => {
    const parent = await freshDirectory();
    await chmod(parent, 0o700);
    const database = await start(join(parent, 'data'));
    expect(await query(database.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('listens on loopback when the path is too long for a socket', async () => {
    const directory = join(await freshDirectory(), 'long'.repeat(30));
    const database = await start(directory);
    expect(new URL(database.url).hostname).toBe('127.0.0.1');
    expect(await query(database.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('says what PostgreSQL said last when it does not start, and lets the directory go', async () => {
    const directory = await freshDirectory();
    await (await start(directory)).stop();
    await rm(join(directory, 'postgres/global/pg_control'));
    const failure = { code: 'database_start_failed', message: expect.stringContaining('pg_control') };
    await expect(start(directory)).rejects.toMatchObject(failure);
    await expect(start(directory)).rejects.toMatchObject(failure);
  });
});
