import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const OUTPUT_BYTES = 64 * 1_048_576;
const execute = promisify(execFile);

/** Runs a program of the system that prepares the virtual kiosk. @returns what it printed */
export async function tool(program: string, args: readonly string[], options: ToolOptions = {}): Promise<string> {
  const { directory, env } = options;
  const { stdout } = await execute(program, args, {
    maxBuffer: OUTPUT_BYTES,
    ...(directory !== undefined && { cwd: directory }),
    env: { ...process.env, LC_ALL: 'C', ...env },
  });
  return stdout;
}

interface ToolOptions {
  readonly directory?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Several programs, one reading what the other one writes. */
export const pipeline = async (script: string, args: readonly string[], options: ToolOptions = {}): Promise<string> =>
  tool('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args], options);
