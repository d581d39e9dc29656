import type { DesiredError } from '@paddock/shared/desired.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { InstallerStatus, Repository } from '../ports-firmware.ts';
import { codeOf } from '../report/log.ts';
import type { Tuf } from '../tuf/tuf.ts';
import { conclude, type Outcome } from './conclude.ts';
import { decide } from './decide.ts';
import type { Action, Facts } from './facts.ts';
import { errorOf } from './failures.ts';
import { writeJournal, type Journal } from './journal.ts';
import type { UpdateLock } from './lock.ts';
import type { UpdateParts } from './parts.ts';
import { pauseMs, type PauseKind } from './pauses.ts';
import { ACTIONS, type Known } from './perform.ts';
import { LOOK_EVERY_MS } from './steps.ts';
import { statusOf } from './trial.ts';
import { NOTHING, readWanted, type Wanted } from './wanted.ts';

/** What desired state and metadata agreed on holds for so long: a release that is withdrawn meanwhile is found out. */
const AGREED_FOR_MS = 60 * 60_000;
/** A disk that fails is asked again after this time. */
const DISK_PAUSE_MS = 30_000;
/** Nothing is to be done until somebody says so. */
const LONG_MS = 24 * 60 * 60_000;

/** Actions that other desired state, or a window that closes, break off. */
const BREAKABLE: readonly Action[] = ['look', 'download', 'stage', 'before'];

export interface MachineParts {
  readonly tuf: Tuf;
  readonly repository: Repository;
  readonly lock: UpdateLock;
  readonly time: () => TrustedInterval;
}

/** Gathers facts, has the next step decided, does it, and writes down what became of it. */
export class Machine {
  readonly known: Known = { agreed: null, index: null, share: null };
  readonly listeners: (() => void)[] = [];
  wanted: Wanted | null = null;
  journal: Journal;
  slots: InstallerStatus;
  readonly #parts: UpdateParts;
  readonly #own: MachineParts;
  #wake = new AbortController();
  #work = new AbortController();
  #notBefore: UptimeMs = uptimeMs(0);
  /** Since when this phase of the watch waits for the cloud. */
  #phaseAt: UptimeMs;
  #countedAt: UptimeMs;
  #reachedAt: UptimeMs | null = null;

  constructor(parts: UpdateParts, own: MachineParts, journal: Journal, slots: InstallerStatus) {
    this.#parts = parts;
    this.#own = own;
    this.journal = journal;
    this.slots = slots;
    this.#phaseAt = this.#countedAt = parts.clock.monotonic();
  }

  desire(value: unknown): DesiredError | null {
    const read = readWanted(value);
    const error = 'code' in read ? read : null;
    // What cannot be read wants nothing: what was wanted before is not wanted any more.
    const wanted = 'code' in read ? NOTHING : read;
    const isSame = JSON.stringify(wanted.firmware) === JSON.stringify(this.wanted?.firmware);
    this.wanted = wanted;
    if (isSame) return error;
    this.#notBefore = uptimeMs(0);
    this.known.agreed = null;
    this.known.index = null;
    this.#work.abort();
    this.#wake.abort();
    return error;
  }

  reached(): void {
    this.#reachedAt = this.#parts.clock.monotonic();
    if (this.journal.watch !== null) this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    while (!signal.aborted) {
      try {
        await this.#step(signal);
      } catch (cause) {
        if (signal.aborted) return;
        log.error(
          { code: codeOf(cause), err: cause },
          'Updates stand still: what is on the disk cannot be read or written',
        );
        await clock.sleep(DISK_PAUSE_MS, signal);
      }
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    this.#wake = new AbortController();
    const facts = await this.#facts();
    const decision = decide(this.journal, facts);
    if (decision.kind === 'note') {
      await this.#keep(decision.journal);
      return decision.isTrouble === true ? this.#pause('trouble') : undefined;
    }
    if (decision.kind === 'rest')
      return this.#parts.clock.sleep(decision.ms ?? LONG_MS, AbortSignal.any([signal, this.#wake.signal]));
    const outcome = await this.#perform(decision.action, signal);
    const { journal, pause } = conclude(this.journal, decision.action, outcome);
    this.#tell(decision.action, outcome);
    await this.#keep(journal);
    if (pause !== null) this.#pause(pause);
  }

  #pause(kind: PauseKind): void {
    const ms = pauseMs(kind, Math.max(0, this.journal.failures - 1), this.#parts.random());
    this.#notBefore = uptimeMs(this.#parts.clock.monotonic() + ms);
  }

  async #facts(): Promise<Facts> {
    const { clock, installer, launcher } = this.#parts;
    const before = this.slots.fault?.code;
    this.slots = await installer.status();
    if (this.slots.fault?.code !== before) this.#say();
    const runs = await statusOf(launcher);
    const { firmware, isOpen } = this.wanted ?? { firmware: undefined, isOpen: () => true };
    const holder = await this.#own.lock.holder();
    const now = clock.monotonic();
    const { agreed } = this.known;
    return {
      desired: firmware,
      slots: this.slots,
      launcher: runs,
      agreed: agreed !== null && now - agreed.at < AGREED_FOR_MS ? agreed.release.sha256 : null,
      isFetched: this.known.index !== null,
      isWindowOpen: isOpen(this.#own.time()),
      isLocked: holder !== null && firmware?.overrideLock !== true,
      isPaused: now < this.#notBefore,
      isReached: this.#reachedAt !== null && this.#reachedAt >= this.#phaseAt,
      watchedMs: (this.journal.watch?.ms ?? 0) + (now - this.#countedAt),
    };
  }

  async #perform(action: Action, signal: AbortSignal): Promise<Outcome> {
    const { parts, own } = { parts: this.#parts, own: this.#own };
    this.#work = new AbortController();
    const over = new AbortController();
    const stop = BREAKABLE.includes(action) ? AbortSignal.any([signal, this.#work.signal]) : signal;
    const desired = this.wanted?.firmware ?? null;
    const watching = action === 'download' ? this.#watchWindow(over.signal) : Promise.resolve();
    try {
      const { known, journal, slots } = this;
      return await ACTIONS[action]({ parts, ...own, known, journal, slots, desired }, stop);
    } catch (cause) {
      return stop.aborted ? { kind: 'broken off' } : { kind: 'failed', error: errorOf(cause) };
    } finally {
      over.abort();
      await watching;
    }
  }

  /** Nothing is fetched outside of the window. */
  async #watchWindow(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await this.#parts.clock.sleep(LOOK_EVERY_MS, over);
      if (this.wanted?.isOpen(this.#own.time()) === false) this.#work.abort();
    }
  }

  async #keep(journal: Journal): Promise<void> {
    const before = this.journal;
    if (JSON.stringify(journal) === JSON.stringify(before)) return;
    await writeJournal(this.#parts.disk, journal);
    this.journal = journal;
    this.#count(before.watch);
    // It got on, so what had failed is over.
    if (journal.target?.sha256 !== before.target?.sha256 || journal.state !== before.state)
      this.#notBefore = uptimeMs(0);
    if (journal.state !== before.state || journal.error?.code !== before.error?.code) await this.#changed();
  }

  #count(before: Journal['watch']): void {
    const { watch } = this.journal;
    const now = this.#parts.clock.monotonic();
    const isSamePhase = watch?.phase === before?.phase && watch?.release.sha256 === before?.release.sha256;
    if (!isSamePhase) this.#phaseAt = now;
    if (!isSamePhase || watch?.ms !== before?.ms) this.#countedAt = now;
  }

  async #changed(): Promise<void> {
    const { installer, log } = this.#parts;
    const { state, target, error } = this.journal;
    // What was fetched lies in a slot, or is not wanted any more.
    if (state === 'committed' || state === 'idle') await this.#dropObjects();
    this.slots = await installer.status();
    log.info({ code: 'update_state', state, target: target?.sha256, error: error?.code }, `The update is ${state}`);
    this.#say();
  }

  #say(): void {
    for (const changed of this.listeners) changed();
  }

  /** What stays takes room until the next download removes it. */
  async #dropObjects(): Promise<void> {
    const { installer, log } = this.#parts;
    await installer.objects
      .keepOnly(new Set())
      .catch((cause: unknown) => log.warn({ code: codeOf(cause), err: cause }, 'What was fetched cannot be removed'));
  }

  #tell(action: Action, outcome: Outcome): void {
    if (outcome.kind === 'failed')
      this.#parts.log.warn({ ...outcome.error, action }, 'A step of the update did not come right');
  }
}
