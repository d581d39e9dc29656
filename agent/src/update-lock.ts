import { openDisk } from './adapters/disk.ts';
import { createMachine } from './adapters/machine.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { AgentConfig } from './config.ts';
import type { Clock } from './ports.ts';
import { openUpdateLock, type UpdateLock } from './update/lock.ts';

/** The update lock of this device, whether the agent runs or not. */
export async function updateLockOf({ dataDir }: AgentConfig): Promise<{ lock: UpdateLock; clock: Clock }> {
  const clock = createSystemClock();
  const bootId = await createMachine(dataDir).bootId();
  return { clock, lock: openUpdateLock({ clock, disk: await openDisk(dataDir), bootId }) };
}
