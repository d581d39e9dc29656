import type { Slot } from '@paddock/shared/firmware.ts';
import {
  InstallError,
  type BootRecord,
  type InstallerStatus,
  type LauncherNotes,
  type SlotContent,
  type TreeCalls,
  type TrialLimits,
} from '../ports-firmware.ts';
import { believedBoot, readBoot, readNotes, writeBoot } from './boot-record.ts';
import { contentOf, otherSlot, wholeSlots } from './whole.ts';

/** Two slots in a directory, as the agent sees and steers them. */
export class SlotDirectory {
  readonly #calls: TreeCalls;

  constructor(calls: TreeCalls) {
    this.#calls = calls;
  }

  status(): InstallerStatus {
    const { boot, notes } = this.#read();
    const runs = running(boot, notes);
    const committed = this.#content(boot.committed);
    const trial = this.#content(boot.trial);
    const of = runs === boot.trial ? trial : committed;
    return {
      running: runs && of ? { slot: runs.slot, release: of.release, committed: runs === boot.committed } : null,
      trial:
        boot.trial && trial ? { slot: boot.trial.slot, release: trial.release, ...outcomeOf(boot.trial, notes) } : null,
      other: contentOf(this.#calls, otherSlot(runs?.slot ?? null))?.release ?? null,
    };
  }

  /** What the slot that runs holds. */
  content(): (SlotContent & { readonly slot: Slot }) | null {
    const { boot, notes } = this.#read();
    const runs = running(boot, notes);
    const content = runs && this.#content(runs);
    return content && runs && { ...content, slot: runs.slot };
  }

  /**
   * The slot that may be written, which is never the committed one; a trial that lies in it is over from now on.
   * @throws InstallError `install_trial_running`
   */
  vacate(): { readonly to: Slot; readonly from: Slot | null } {
    const { boot, notes } = this.#read();
    const from = boot.committed?.slot ?? null;
    if (boot.trial !== null && running(boot, notes) === boot.trial)
      throw new InstallError('install_trial_running', boot.trial.slot);
    // Without a record a slot that is whole would be taken for committed: the first install begins with writing one.
    if (boot.trial !== null || readBoot(this.#calls) === null) this.#write({ ...boot, trial: null });
    return { to: otherSlot(from), from };
  }

  /** @throws InstallError `install_not_staged` */
  activate(sha256: string, { starts, withinMs }: TrialLimits): void {
    const { boot, notes } = this.#read();
    const slot = otherSlot(boot.committed?.slot ?? null);
    this.#arm(boot, notes, { slot, sha256 }, { starts, withinMs });
  }

  /** @throws InstallError `install_not_staged` */
  markGood(sha256: string): void {
    const { boot } = this.#read();
    if (boot.committed?.sha256 === sha256 && boot.trial === null) return;
    if (boot.trial?.sha256 !== sha256) throw new InstallError('install_not_staged', sha256);
    const { slot } = boot.trial;
    this.#write({ committed: { slot, sha256 }, trial: null });
  }

  /**
   * Ends a trial; without one, what the other slot holds is tried once.
   * @throws InstallError `install_no_other`
   */
  rollBack(limits: TrialLimits): void {
    const { boot, notes } = this.#read();
    if (boot.trial !== null) return this.#write({ ...boot, trial: null });
    const slot = otherSlot(boot.committed?.slot ?? null);
    const other = contentOf(this.#calls, slot);
    if (boot.committed === null || other === null) throw new InstallError('install_no_other', slot);
    this.#arm(boot, notes, { slot, sha256: other.release.sha256 }, limits);
  }

  #arm(
    boot: BootRecord,
    notes: LauncherNotes | null,
    { slot, sha256 }: { slot: Slot; sha256: string },
    { starts, withinMs }: TrialLimits,
  ): void {
    if (contentOf(this.#calls, slot)?.release.sha256 !== sha256) throw new InstallError('install_not_staged', sha256);
    // Larger than any that the launcher has heard of, also when our own record was lost.
    const id = Math.max(boot.trial?.id ?? 0, notes?.trial ?? 0) + 1;
    this.#write({ ...boot, trial: { id, slot, sha256, starts, withinMs } });
  }

  #read(): { boot: BootRecord; notes: LauncherNotes | null } {
    const notes = readNotes(this.#calls);
    const boot = readBoot(this.#calls);
    return { boot: boot ?? believedBoot(null, notes, wholeSlots(this.#calls)), notes };
  }

  #write(record: BootRecord): void {
    writeBoot(this.#calls, record);
  }

  #content(of: BootRecord['committed']): SlotContent | null {
    if (of === null) return null;
    const content = contentOf(this.#calls, of.slot);
    return content?.release.sha256 === of.sha256 ? content : null;
  }
}

/** What the launcher runs: a trial from its first start on, until it has given it up. */
function running(boot: BootRecord, notes: LauncherNotes | null): BootRecord['committed'] {
  const { trial, committed } = boot;
  const { starts, givenUp } = outcomeOf(trial, notes);
  return trial !== null && starts > 0 && !givenUp ? trial : committed;
}

const outcomeOf = (
  trial: BootRecord['trial'],
  notes: LauncherNotes | null,
): { readonly starts: number; readonly givenUp: boolean } =>
  trial !== null && notes?.trial === trial.id
    ? { starts: notes.starts, givenUp: notes.givenUp }
    : { starts: 0, givenUp: false };
