import { exclusively } from './adapters/data-dir-lock.ts';
import { openDisk } from './adapters/disk.ts';
import { createMachine } from './adapters/machine.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { AgentConfig } from './config.ts';
import type { Clock } from './ports.ts';
import { openUpdateLock, type LockParts, type UpdateLock } from './update/lock.ts';

/** Programs that take the lock take turns by it: two that looked at once would both find it free. */
const TURNS_FILE = 'update-lock.turns';

/** The update lock of this device, whether the agent runs or not. */
export async function updateLockOf({ dataDir }: AgentConfig): Promise<{ lock: UpdateLock; clock: Clock }> {
  const clock = createSystemClock();
  const bootId = await createMachine(dataDir).bootId();
  const disk = await openDisk(dataDir);
  return { clock, lock: openUpdateLock({ clock, disk, bootId, inTurn: turnsIn(dataDir, clock) }) };
}

/** Takes turns with all who change the lock, in whatever process. */
export const turnsIn =
  (dataDir: string, clock: Pick<Clock, 'monotonic' | 'sleep'>): NonNullable<LockParts['inTurn']> =>
  (work) =>
    exclusively(dataDir, TURNS_FILE, clock, work);
