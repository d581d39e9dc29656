import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import type { Programs } from '../ports-firmware.ts';
import type { Clock } from '../ports.ts';

/** What a program says is for people: the end of it is enough. */
const MOST_OUTPUT_BYTES = 4_096;
/** How often it is looked for what is left before we give up. */
const KILL_ROUNDS = 5;
/** How long the last words of a program may take to arrive. */
const OUTPUT_WITHIN_MS = 500;
/** How long the system may take to end what was killed: what hangs in the kernel itself is not waited for. */
const ENDS_WITHIN_MS = 5_000;
/** By this variable everything that a program starts is known as its own, unless it takes pains to hide. */
const MARK = 'PADDOCK_PROGRAM';
/** As shells say it of what cannot be started. */
const NOT_STARTED = 127;

/** What programs get, from the environment and the directory of the node of who starts them. */
type EnvironmentOf = (own: NodeJS.ProcessEnv, nodeDirectory: string) => NodeJS.ProcessEnv;

/**
 * Programs in a process group of their own, with their directory as a mark in their environment. What is left of them is
 * killed whether they end in time or not: the group, and whoever left the group and still has the mark; what an agent
 * left behind that was killed itself, when the next program runs there. A program that starts another one with an
 * environment of its own, in a session of its own, is not found: nothing short of a control group finds it.
 */
export function createPrograms(clock: Pick<Clock, 'sleep'>, environmentOf: EnvironmentOf = (own) => own): Programs {
  const environment = environmentOf(process.env, dirname(process.execPath));
  return {
    async run([file = '', ...args], { directory, timeoutMs, signal }) {
      killMarked(directory);
      const child = start(file, args, { directory, environment: { ...environment, [MARK]: directory } });
      if (child instanceof Error) return { code: NOT_STARTED, timedOut: false, output: child.message };
      const output = collect(child);
      const over = new AbortController();
      const ended = exitOf(child);
      const closed = new Promise((resolve) => child.once('close', resolve));
      const late = clock.sleep(timeoutMs, AbortSignal.any([over.signal, signal])).then((): 'late' => 'late');
      const code = await Promise.race([ended, late]);
      over.abort();
      if (child.pid !== undefined) kill(-child.pid);
      killMarked(directory);
      if (code === 'late') await Promise.race([ended, clock.sleep(ENDS_WITHIN_MS)]);
      await Promise.race([closed, clock.sleep(OUTPUT_WITHIN_MS)]);
      return { code: code === 'late' ? null : code, timedOut: code === 'late' && !signal.aborted, output: output() };
    },
  };
}

/** Some of what keeps a program from starting is thrown, the rest is told by an event. */
function start(
  file: string,
  args: readonly string[],
  { directory, environment }: { readonly directory: string; readonly environment: NodeJS.ProcessEnv },
): ChildProcessByStdio<null, Readable, Readable> | Error {
  try {
    return spawn(file, args, {
      cwd: directory,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment,
    });
  } catch (cause) {
    return cause instanceof Error ? cause : new Error(String(cause));
  }
}

/** Null when a signal ended it. */
const exitOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => {
    // Not 'close': a child of the child may hold the output open for ever.
    child.once('exit', resolve);
    child.once('error', () => resolve(NOT_STARTED));
  });

function collect(child: ChildProcess): () => string {
  let text = Buffer.alloc(0);
  const hear = (chunk: Buffer): void => void (text = Buffer.concat([text, chunk]).subarray(-MOST_OUTPUT_BYTES));
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', hear);
  child.once('error', (error) => hear(Buffer.from(error.message)));
  return () => {
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
    return text.toString('utf8');
  };
}

function killMarked(mark: string): void {
  // Until nobody is left: what forks while we look is found by the next look.
  for (let round = 0; round < KILL_ROUNDS; round += 1) {
    const left = markedWith(mark);
    if (left.length === 0) return;
    for (const one of left) kill(one);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already, or became somebody else's.
  }
}

const markedWith = (mark: string): number[] => {
  const entry = `${MARK}=${mark}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => environmentOf(pid).split('\0').includes(entry))
    .map(Number);
};

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}
