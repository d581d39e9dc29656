import { spawn } from 'node:child_process';

/** A command that did not do what it was to. */
export class ShellCommandError extends Error {
  override readonly name = 'ShellCommandError';
  readonly code = 'command_failed';
}

const LAST_CHARS = 1_000;

/**
 * Runs a command of the shell to its end, which is what an operator wrote into the configuration.
 * @throws ShellCommandError with the end of what it said, when it fails or takes longer than this
 */
export async function runCommand(command: string, timeoutMs: number): Promise<void> {
  // A process group of its own, so that nothing of it is left behind a time-out.
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let said = '';
  const hear = (text: Buffer): void => void (said = (said + text.toString()).slice(-LAST_CHARS));
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (what: string): void => reject(new ShellCommandError(`${what}: ${said.trim() || 'it said nothing'}`));
  const late = setTimeout(() => {
    fail(`The command took longer than ${timeoutMs} ms`);
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, timeoutMs);
  child.on('error', (cause) => reject(new ShellCommandError('The shell did not start', { cause })));
  child.on('close', (code, signal) => (code === 0 ? resolve() : fail(`The command ended with ${code ?? signal}`)));
  return promise.finally(() => clearTimeout(late));
}
