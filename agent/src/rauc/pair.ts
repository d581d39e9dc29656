import type { Slot } from '@paddock/shared/firmware.ts';
import { InstallError } from '../ports-firmware.ts';
import type { RaucSlot } from '../ports-rauc.ts';

/** Two slots of RAUC's as ours, and from which of them the machine runs. */
export interface Pair {
  readonly booted: Slot;
  readonly slots: Readonly<Record<Slot, RaucSlot>>;
}

/**
 * The group from which the machine runs, `a` and `b` in the order of their names, so that they stay the same ones. Others
 * that can be started, to rescue or to set up, are left alone.
 * @throws InstallError `install_rauc_unfit`
 */
export function pairOf(all: readonly RaucSlot[]): Pair {
  const booted = all.find(({ isBooted }) => isBooted);
  if (booted === undefined) throw new InstallError('install_rauc_unfit', 'none of them is booted');
  const group = all.filter((slot) => slot.group === booted.group).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const [a, b, ...more] = group;
  if (a === undefined || b === undefined || more.length > 0)
    throw new InstallError('install_rauc_unfit', `${group.length} slots of ${booted.group} can be started`);
  return { booted: a === booted ? 'a' : 'b', slots: { a, b } };
}
