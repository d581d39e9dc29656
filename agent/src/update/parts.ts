import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { Installer, Launcher, Programs, Repository, Zstd } from '../ports-firmware.ts';
import type { Clock, Disk } from '../ports.ts';
import type { Log } from '../report/log.ts';
import type { FirstRoot } from '../tuf/beginning.ts';
import type { CommandParts } from './commands.ts';
import type { UpdateSensors } from './trial.ts';

/** What updates are made of. */
export interface UpdateParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly installer: Installer;
  readonly launcher: Launcher;
  readonly programs: Programs;
  readonly zstd: Zstd;
  /** Trusted time. */
  readonly time: (moment: Moment) => TrustedInterval;
  /** Where trust begins; null while nobody has said. */
  readonly firstRoot: () => FirstRoot | null;
  /** The cloud's own repository; null for a device that did not enrol. */
  readonly ownRepository: () => string | null;
  /** @param base ends in a slash */
  readonly openRepository: (base: string) => Repository;
  /** Of this device, as manifests name it. */
  readonly model: () => string | null;
  readonly bootId: string;
  /** Absolute path of a slot. */
  readonly slotPath: CommandParts['slotPath'];
  readonly sensors: UpdateSensors;
  /** Why the kiosk's own software is not well by what it said since then; null: it is. Absent: it says nothing here. */
  readonly applicationFault?: (since: UptimeMs) => string | null;
  /** Between 0 and 1. */
  readonly random: () => number;
}
