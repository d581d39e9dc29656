import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../../agent/bin/paddock-agent.cjs', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** A directory of its own for one agent. */
export const newHome = (): string => mkdtempSync(join(tmpdir(), 'paddock-agent-'));

/** Starts `paddock-agent` in a directory. */
export const startAgent = (home: string, ...args: string[]): Running => startAgentIn(home, {}, ...args);

/** The same, with these variables besides. */
export function startAgentIn(home: string, environment: Readonly<Record<string, string>>, ...args: string[]): Running {
  const child = spawn(process.execPath, [LAUNCHER, ...args], { cwd: home, env: { ...process.env, ...environment } });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => void (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => void (err += chunk.toString()));
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  return { child, ended };
}

/** Runs `paddock-agent` to its end. */
export const agent = (home: string, ...args: string[]): Promise<Ended> => startAgent(home, ...args).ended;
