import type { Release, Slot } from '@paddock/shared/firmware.ts';
import {
  InstallError,
  type InstallerStatus,
  type LauncherStatus,
  type SlotContent,
  type TrialLimits,
} from '../ports-firmware.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, Disk } from '../ports.ts';
import type { Rauc } from '../ports-rauc.ts';
import { codeOf, type Log } from '../report/log.ts';
import { otherSlot } from '../slots/whole.ts';
import { pairOf, type Pair } from './pair.ts';
import { readRecord, writeRecord, type Held, type RaucRecord } from './record.ts';
import { heldIn, isLeft, statusOf, type Known } from './standing.ts';

/** What the other slot holds is tried for as long as the slowest health check may take. */
const BACK_WITHIN_MS = 3_600_000;
const NOTHING: InstallerStatus = { running: null, trial: null, other: null, lost: null };
const MOST_DETAIL = 256;
/** A question costs the machine several processes. What we do ourselves is known, and others do something once a year. */
const ASKED_FOR_MS = 15_000;

export interface SlotParts {
  readonly rauc: Rauc;
  readonly disk: Pick<Disk, 'read' | 'replace'>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly log: Log;
  readonly bootId: string;
}

/**
 * RAUC's slots, as the agent sees and steers them.
 *
 * Invariant: the bootloader's marks come before our record. Whatever a power cut leaves between the two, what was never
 * found good is on trial, and what was given up is not run again.
 */
export class RaucSlots {
  readonly #parts: SlotParts;
  /** What it was when it was looked at last. Which slot is booted does not change. */
  #last: Known | null = null;
  #asked: { readonly pair: Pair; readonly at: UptimeMs } | null = null;
  #isMarked = false;

  constructor(parts: SlotParts) {
    this.#parts = parts;
  }

  async status(): Promise<InstallerStatus> {
    try {
      const known = await this.#look();
      const status = statusOf(known);
      if (status.trial === null && status.fault === undefined && !isLeft(known)) await this.#stayBootable(known);
      return status;
    } catch (cause) {
      if (!(cause instanceof InstallError)) throw cause;
      const before = this.#last === null ? NOTHING : statusOf(this.#last);
      return { ...before, fault: { code: cause.code, detail: cause.message.slice(0, MOST_DETAIL) } };
    }
  }

  /** What the machine was started with. */
  async running(): Promise<LauncherStatus> {
    const known = this.#last ?? (await this.#look());
    const { booted } = known.pair;
    const sha256 = heldIn(known, booted)?.release.sha256 ?? null;
    return { slot: booted, sha256, pid: null, startedAt: uptimeMs(0), restarts: 0 };
  }

  /** What the machine will be started with; null where that is nothing of ours. */
  next(): Release | null {
    if (this.#last === null) return null;
    const { pair, record } = this.#last;
    const slot = isLeft(this.#last) ? otherSlot(pair.booted) : (record.trial?.slot ?? pair.booted);
    return heldIn(this.#last, slot)?.release ?? null;
  }

  async manifest(): Promise<string | null> {
    const known = await this.#look();
    const { running } = statusOf(known);
    return running && (heldIn(known, running.slot)?.manifest ?? null);
  }

  /** @throws InstallError */
  async install(
    { release, manifest }: SlotContent,
    file: string,
    progress: (percent: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const known = await this.#look();
    const slot = this.#free(known);
    const held: Held = {
      release,
      manifest: new TextDecoder().decode(manifest),
      standing: 'staging',
      stamp: null,
    };
    const before = vacated(known, slot);
    await this.#write({ ...before, slots: { ...before.slots, [slot]: held } });
    this.#asked = null;
    await this.#parts.rauc.install(file, progress, signal);
    const { record, pair } = await this.#look();
    // RAUC may be told to have it started at once; when that is, is said by windows and locks.
    if (pair.slots[slot].isPrimary) await this.#mark('active', pair, pair.booted);
    const { stamp } = pair.slots[slot];
    // Without it nobody could tell later whether this is what lies there.
    if (stamp === null || stamp === known.pair.slots[slot].stamp)
      throw new InstallError('install_rauc_failed', 'its status does not tell of what it wrote: it needs a statusfile');
    const staged: Held = { ...held, standing: 'staged', stamp };
    await this.#write({ ...record, slots: { ...record.slots, [slot]: staged } });
  }

  /** @throws InstallError `install_not_staged`, `install_rauc_*` */
  async activate(sha256: string, { withinMs }: TrialLimits): Promise<void> {
    const known = await this.#look();
    const slot = this.#free(known);
    const held = heldIn(known, slot);
    if (held?.release.sha256 !== sha256 || (held.standing !== 'staged' && held.standing !== 'good'))
      throw new InstallError('install_not_staged', sha256);
    await this.#arm(known, slot, { sha256, withinMs, isBack: false });
  }

  async markGood(sha256: string): Promise<void> {
    const known = await this.#look();
    const { record, pair } = known;
    const slot = pair.booted;
    const held = heldIn(known, slot);
    if (held?.release.sha256 !== sha256) throw new InstallError('install_not_staged', sha256);
    await this.#mark('good', pair, slot);
    this.#isMarked = true;
    const good: Held = { ...held, standing: 'good', stamp: pair.slots[slot].stamp };
    const slots = { ...record.slots, [slot]: good };
    await this.#write({ ...record, slots, committed: { slot, sha256 }, trial: null, left: null });
  }

  async rollBack(): Promise<void> {
    const known = await this.#look();
    const { trial } = statusOf(known);
    if (trial !== null) return this.#giveUp(known, trial);
    const slot = otherSlot(known.pair.booted);
    const other = heldIn(known, slot);
    if (other?.standing !== 'good') throw new InstallError('install_no_other', slot);
    await this.#arm(known, slot, { sha256: other.release.sha256, withinMs: BACK_WITHIN_MS, isBack: true });
  }

  async #arm(
    { record, pair, bootId }: Known,
    slot: Slot,
    trial: Omit<NonNullable<RaucRecord['trial']>, 'slot' | 'bootId'>,
  ): Promise<void> {
    await this.#mark('active', pair, slot);
    await this.#write({ ...record, trial: { ...trial, slot, bootId }, left: null });
  }

  async #giveUp(
    { record, pair, bootId }: Known,
    { slot, starts }: NonNullable<InstallerStatus['trial']>,
  ): Promise<void> {
    const isBad = starts > 0 && record.trial?.isBack !== true;
    const held = record.slots[slot];
    // The other one first: no moment has none that can be started.
    await this.#mark('active', pair, otherSlot(slot));
    if (isBad) await this.#mark('bad', pair, slot);
    const slots =
      isBad && held
        ? { ...record.slots, [slot]: { ...held, ...stampOf(pair, slot), standing: 'bad' as const } }
        : record.slots;
    const left = pair.booted === slot ? { slot, bootId } : null;
    await this.#write({ ...record, slots, trial: null, left });
  }

  /** Bootloaders count starts of good slots, too, and give up one that nobody calls good again. */
  async #stayBootable({ pair }: Known): Promise<void> {
    if (this.#isMarked) return;
    try {
      await this.#mark('good', pair, pair.booted);
      this.#isMarked = true;
    } catch (cause) {
      if (!(cause instanceof InstallError)) throw cause;
      this.#parts.log.warn(
        { code: codeOf(cause), err: cause },
        'The slot that runs cannot be marked good for this start',
      );
    }
  }

  /** The slot that may be written, and started next. @throws InstallError `install_trial_running` */
  #free(known: Known): Slot {
    const { trial } = statusOf(known);
    const { booted } = known.pair;
    if (trial?.slot === booted || isLeft(known)) throw new InstallError('install_trial_running', booted);
    return otherSlot(booted);
  }

  async #look(): Promise<Known> {
    const { disk, bootId, clock } = this.#parts;
    const record = await readRecord(disk);
    const pair = await this.#ask();
    this.#last = { record, pair, bootId, uptime: clock.monotonic() };
    return this.#last;
  }

  async #ask(): Promise<Pair> {
    const now = this.#parts.clock.monotonic();
    if (this.#asked === null || now - this.#asked.at >= ASKED_FOR_MS)
      this.#asked = { pair: pairOf(await this.#parts.rauc.slots()), at: now };
    return this.#asked.pair;
  }

  #mark(as: 'good' | 'bad' | 'active', pair: Pair, slot: Slot): Promise<void> {
    return this.#parts.rauc.mark(as, pair.slots[slot].name);
  }

  async #write(record: RaucRecord): Promise<void> {
    await writeRecord(this.#parts.disk, record);
    if (this.#last !== null) this.#last = { ...this.#last, record };
  }
}

const stampOf = (pair: Pair, slot: Slot): Pick<Held, 'stamp'> => ({ stamp: pair.slots[slot].stamp });

/** A trial that lies in a slot is over when the slot is written, and what was committed there is lost for good. */
function vacated({ record, pair }: Known, slot: Slot): RaucRecord {
  const { booted } = pair;
  const now = heldIn({ record, pair }, booted);
  const standsIn = now?.standing === 'good' ? { slot: booted, sha256: now.release.sha256 } : null;
  return {
    ...record,
    committed: record.committed?.slot === slot ? standsIn : record.committed,
    trial: null,
    left: null,
  };
}
