import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { globSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Server } from './database.ts';
import { freePort } from './free-port.ts';

/**
 * A PostgreSQL that is given by address: the one that PADDOCK_TEST_DATABASE_URL names, or else Debian's, started for
 * the test, which also is another version than the embedded one. Null when the machine has neither.
 */
export async function serverByAddress(): Promise<Server | null> {
  const url = process.env['PADDOCK_TEST_DATABASE_URL'];
  if (url) return { url, stop: async () => undefined };
  const programs = globSync('/usr/lib/postgresql/*/bin/postgres').toSorted().at(-1);
  return programs === undefined ? null : startDebians(join(programs, '..'));
}

async function startDebians(programs: string): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), 'paddock-debian-'));
  const ids = idsOfPostgres();
  if (ids) await chown(directory, ids.uid, ids.gid);
  const data = join(directory, 'data');
  execFileSync(
    join(programs, 'initdb'),
    ['-D', data, '-U', 'tester', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8'],
    {
      ...ids,
      cwd: '/',
      stdio: 'ignore',
    },
  );
  const port = await freePort();
  const flags = ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];
  const child = spawn(join(programs, 'postgres'), flags, { ...ids, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  await ready(child);
  const stop = async (): Promise<void> => {
    child.kill('SIGINT');
    await once(child, 'exit');
    await rm(directory, { recursive: true });
  };
  return { url: `postgres://tester@127.0.0.1:${port}/postgres`, stop };
}

function idsOfPostgres(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

async function ready({ stderr }: ChildProcess): Promise<void> {
  if (stderr === null) throw new Error('The log of PostgreSQL is not piped');
  const lines: string[] = [];
  for await (const line of createInterface({ input: stderr })) {
    if (line.includes('ready to accept connections')) return;
    lines.push(line);
  }
  throw new Error(`PostgreSQL did not start:\n${lines.join('\n')}`);
}
