import { checkPath } from '@paddock/shared/bundle-path.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { Programs } from '../ports-firmware.ts';
import { UpdateError } from './update-error.ts';

/** A program of a release, as its manifest names it. */
export interface SlotProgram {
  readonly command: readonly string[];
  readonly timeoutSeconds: number;
}

export interface CommandParts {
  readonly programs: Programs;
  /** Absolute path of a slot. */
  readonly slotPath: (slot: Slot) => string;
}

/**
 * Runs a program from the slot that it came with. What has a slash is a path in the slot, what has none is a program of
 * the machine.
 * @returns null when it ended well, otherwise what there is to say
 * @throws UpdateError `update_hook_failed` for a path that leads out of the slot
 */
export async function runOf(
  { programs, slotPath }: CommandParts,
  slot: Slot,
  { command, timeoutSeconds }: SlotProgram,
  signal: AbortSignal,
): Promise<string | null> {
  const directory = slotPath(slot);
  const [program = '', ...rest] = command;
  const file = program.includes('/') ? `${directory}/${inSlot(program)}` : program;
  const options = { directory, timeoutMs: timeoutSeconds * 1000, signal };
  const { code, timedOut, output } = await programs.run([file, ...rest], options);
  signal.throwIfAborted();
  if (code === 0) return null;
  const why = timedOut ? `not done in ${timeoutSeconds} s` : `ended with ${code ?? 'a signal'}`;
  return [why, output.trim().slice(-160)].filter((text) => text !== '').join(': ');
}

function inSlot(path: string): string {
  const name = path.replace(/^\.\//, '');
  try {
    checkPath(name);
  } catch (cause) {
    throw new UpdateError('update_hook_failed', `${path} is no path in the slot`, { cause });
  }
  return name;
}
