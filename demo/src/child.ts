import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const LAST_WORDS = 12;

export interface Child {
  readonly name: string;
  /** Undefined when it could not be started. */
  readonly pid: number | undefined;
  /** Where its output goes. */
  readonly log: string;
  /** Resolves when it has ended, with what it ended by. */
  readonly ended: Promise<string>;
  /** Asks it to stop; kills it when it does not within the time. */
  stop(withinMs: number): Promise<void>;
  kill(): void;
  /** The end of its output, for when it fails. */
  lastWords(): string;
}

export interface ChildOptions {
  readonly name: string;
  /** A program of this repository, and its arguments. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly log: string;
}

/**
 * Starts a program in a process group of its own, so that Ctrl-C in the terminal reaches only us and
 * children stop in our order; when we are killed, the kernel ends it.
 */
export function startChild({ name, program, args, env, log }: ChildOptions): Child {
  mkdirSync(dirname(log), { recursive: true });
  const output = openSync(log, 'w', 0o600);
  const tie = join(import.meta.dirname, 'die-with-parent.ts');
  const child = spawn(process.execPath, ['--import', tie, program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', output, output],
    detached: true,
  });
  closeSync(output);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal === null ? `code ${code}` : signal));
  });
  return {
    name,
    pid: child.pid,
    log,
    ended,
    async stop(withinMs) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), withinMs);
      await ended;
      clearTimeout(timer);
    },
    kill: () => void child.kill('SIGKILL'),
    lastWords: () => readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LAST_WORDS).join('\n'),
  };
}
