import type { Release, Slot } from '@paddock/shared/firmware.ts';
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
import { isWhole, standing, type HoldsWhole } from './standing.ts';
import { contentOf, otherSlot, releaseIn } from './whole.ts';

/** What records and slots say at one moment. */
interface Known {
  readonly boot: BootRecord;
  /** False: the record is missing, or damaged. */
  readonly isWritten: boolean;
  readonly notes: LauncherNotes | null;
  /** What a slot holds whole. */
  readonly held: (slot: Slot) => Release | null;
  /** What is run where nothing is on trial. */
  readonly stands: BootRecord['committed'];
  /** What the launcher runs: a trial from its first start on, until it has given it up. */
  readonly runs: BootRecord['committed'];
}

/** Two slots in a directory, as the agent sees and steers them. */
export class SlotDirectory {
  readonly #calls: TreeCalls;

  constructor(calls: TreeCalls) {
    this.#calls = calls;
  }

  status(): InstallerStatus {
    const { boot, notes, held, stands, runs } = this.#known();
    const { committed, trial } = boot;
    const running = runs && held(runs.slot);
    const tried = trial && isHeld(trial, held) ? held(trial.slot) : null;
    return {
      running: runs && running ? { slot: runs.slot, release: running, committed: runs === committed } : null,
      trial: trial && tried ? { slot: trial.slot, release: tried, ...outcomeOf(trial, notes) } : null,
      other: held(otherSlot(runs?.slot ?? null)),
      lost: committed !== null && stands !== committed ? committed.sha256 : null,
    };
  }

  /** What the slot that runs holds. */
  content(): (SlotContent & { readonly slot: Slot }) | null {
    const { runs } = this.#known();
    const running = runs && contentOf(this.#calls, runs.slot);
    return running && runs && { ...running, slot: runs.slot };
  }

  /**
   * The slot that may be written, which is never the one that runs; a trial that lies in it is over from now on.
   * @throws InstallError `install_trial_running`
   */
  vacate(): { readonly to: Slot; readonly from: Slot | null } {
    const { boot, isWritten, stands, runs } = this.#known();
    if (boot.trial !== null && runs === boot.trial) throw new InstallError('install_trial_running', boot.trial.slot);
    // What comes next would be taken for what is left of two slots that were lost.
    const committed = stands === null ? null : boot.committed;
    // Without a record a slot that is whole would be taken for committed: the first install begins with writing one.
    if (boot.trial !== null || committed !== boot.committed || !isWritten) this.#write({ committed, trial: null });
    return { to: otherSlot(stands?.slot ?? null), from: stands?.slot ?? null };
  }

  /** @throws InstallError `install_not_staged` */
  activate(sha256: string, limits: TrialLimits): void {
    const known = this.#known();
    this.#arm(known, { slot: otherSlot(known.stands?.slot ?? null), sha256 }, limits);
  }

  /** @throws InstallError `install_not_staged` */
  markGood(sha256: string): void {
    const { boot } = this.#known();
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
    const known = this.#known();
    const { boot, stands, held } = known;
    if (boot.trial !== null) return this.#write({ ...boot, trial: null });
    const slot = otherSlot(stands?.slot ?? null);
    const other = held(slot);
    if (stands === null || other === null) throw new InstallError('install_no_other', slot);
    this.#arm(known, { slot, sha256: other.sha256 }, limits);
  }

  #arm(
    { boot, notes, held }: Known,
    { slot, sha256 }: NonNullable<BootRecord['committed']>,
    { starts, withinMs }: TrialLimits,
  ): void {
    if (!isHeld({ slot, sha256 }, held)) throw new InstallError('install_not_staged', sha256);
    // Larger than any that the launcher has heard of, also when our own record was lost.
    const id = Math.max(boot.trial?.id ?? 0, notes?.trial ?? 0) + 1;
    this.#write({ ...boot, trial: { id, slot, sha256, starts, withinMs } });
  }

  /** Slots are read when it comes to them, and once: an index is large. */
  #known(): Known {
    const read = new Map<Slot, Release | null>();
    const held = (slot: Slot): Release | null => {
      const found = read.has(slot) ? (read.get(slot) ?? null) : releaseIn(this.#calls, slot);
      read.set(slot, found);
      return found;
    };
    const holds: HoldsWhole = (slot) => held(slot)?.sha256 ?? null;
    const notes = readNotes(this.#calls);
    const record = readBoot(this.#calls);
    const boot = record ?? believedBoot(null, notes, { a: holds('a'), b: holds('b') });
    const stands = standing(boot.committed, holds);
    const { trial } = boot;
    const { starts, givenUp } = outcomeOf(trial, notes);
    const isTried = trial !== null && starts > 0 && !givenUp && isWhole(trial, holds);
    return { boot, isWritten: record !== null, notes, held, stands, runs: isTried ? trial : stands };
  }

  #write(record: BootRecord): void {
    writeBoot(this.#calls, record);
  }
}

const isHeld = (what: NonNullable<BootRecord['committed']>, held: Known['held']): boolean =>
  isWhole(what, (slot) => held(slot)?.sha256 ?? null);

const outcomeOf = (
  trial: BootRecord['trial'],
  notes: LauncherNotes | null,
): { readonly starts: number; readonly givenUp: boolean } =>
  trial !== null && notes?.trial === trial.id
    ? { starts: notes.starts, givenUp: notes.givenUp }
    : { starts: 0, givenUp: false };
