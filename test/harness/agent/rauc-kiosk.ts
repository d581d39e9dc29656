import { join } from 'node:path';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import type { Clock } from '@paddock/agent/ports.ts';
import { beginUpdating, type Updating } from '@paddock/agent/updating.ts';
import type { FirmwareConfig } from '@paddock/agent/config/firmware-settings.ts';
import type { Release } from '@paddock/shared/firmware.ts';
import { uptimeMs, wallMs } from '@paddock/shared/time.ts';

/** What an agent of one boot is started with. */
export interface KioskStart {
  readonly home: string;
  readonly bootId: string;
  readonly firmware: FirmwareConfig;
  readonly release: Release;
  readonly repository: string;
}

/** Of a machine that has just been started. */
function clockOfBoot(): Clock {
  const clock = createSystemClock();
  const startedAt = clock.monotonic();
  return { ...clock, monotonic: () => uptimeMs(clock.monotonic() - startedAt) };
}

/** The agent's updates on this machine, in one start of it, towards a release. @param hear of its log */
export async function beginKiosk(start: KioskStart, hear: (fields: object) => void = () => {}): Promise<Updating> {
  const updating = await beginUpdating(start.firmware, {
    clock: clockOfBoot(),
    disk: await openDisk(join(start.home, 'state')),
    log: { debug: hear, info: hear, warn: hear, error: hear },
    time: { at: () => ({ earliest: wallMs(Date.now()), latest: wallMs(Date.now() + 1_000) }) },
    bootId: start.bootId,
    pin: null,
    standing: () => null,
    expectsEnd: () => {},
    readings: () => ({}),
  });
  await updating.handler.apply({ ...start.release, repository: start.repository });
  return updating;
}
