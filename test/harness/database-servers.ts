import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestProject } from 'vitest/node';

const PROGRAM = new URL('database-server.ts', import.meta.url);

/** The variable that names the server of a worker of Vitest, where it has one. */
export const variableOf = (worker: string): string => `PADDOCK_TEST_WORKER_${worker}_DATABASE_URL`;

/**
 * Vitest's global setup: a PostgreSQL for each worker, which the databases of all its test files are made in, one file
 * after the other.
 * @returns what stops them
 */
export async function setup({ config }: TestProject): Promise<() => Promise<unknown>> {
  if (process.env['PADDOCK_TEST_DATABASE_URL']) return async () => undefined;
  const workers = Array.from({ length: config.maxWorkers }, (_, index) => String(index + 1));
  const stops = await Promise.all(workers.map(start));
  return () => Promise.all(stops.map((stop) => stop()));
}

async function start(worker: string): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [PROGRAM.pathname], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const said = once(createInterface({ input: child.stdout }), 'line');
  const [url] = (await Promise.race([said, ended.then(() => [])])) as string[];
  if (url === undefined) throw new Error('The PostgreSQL of the tests did not start');
  process.env[variableOf(worker)] = url;
  return async () => {
    child.stdin.end();
    await ended;
  };
}
