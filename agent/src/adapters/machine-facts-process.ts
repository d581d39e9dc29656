import { execFile } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import type { MachineInventory, MachineLook } from '../ports.ts';

const LOOK_WITHIN_MS = 180_000;
const MAX_OUTPUT_BYTES = 1_048_576;

export class LookError extends Error {
  override readonly name = 'LookError';
  readonly code = 'machine_not_looked_at';
}

/**
 * Looks at the machine in a short-lived process of this very program, at the lowest priority: what the look takes of
 * memory is given back when it is over.
 * @param program the file that this program was started from
 */
export const lookInProcess = (program: string): MachineLook => ({
  look: (signal) =>
    new Promise<MachineInventory>((resolve, reject) => {
      const options = { timeout: LOOK_WITHIN_MS, maxBuffer: MAX_OUTPUT_BYTES, signal, killSignal: 'SIGKILL' } as const;
      const args = [...process.execArgv, program, 'inventory', '--json'];
      const child = execFile(process.execPath, args, options, (error, stdout) => {
        if (error !== null)
          return reject(new LookError('The process that looks at the machine failed', { cause: error }));
        try {
          resolve(JSON.parse(stdout) as MachineInventory);
        } catch (cause) {
          reject(new LookError('The process that looks at the machine said nothing that can be read', { cause }));
        }
      });
      lower(child.pid);
    }),
});

/** Also of what it starts. It may have ended already, and nothing depends on it. */
function lower(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // Then it ends sooner.
  }
}
