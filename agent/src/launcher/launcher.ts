import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';
import type { BootRecord, LauncherStatus, SlotProgram, Starter, TreeCalls } from '../ports-firmware.ts';
import { codeOf, type Log } from '../report/log.ts';
import { giveUp, isSettled, prepareRun, type Prepared } from '../slots/launch.ts';
import { begun, NO_MEMORY, over, pauseMs, trialLeftMs, type Ending, type Memory } from './memory.ts';
import { commandOf, environmentOf, type Place } from './program.ts';

export interface LauncherParts {
  readonly calls: TreeCalls;
  readonly starter: Starter;
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
  readonly log: Log;
}

export interface LauncherSettings extends Place {
  /** The launcher's own environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** How long a program has to end before it is made to. */
  readonly graceMs: number;
}

/** Runs what a slot holds, again whenever it ends, and falls back when a trial does not come to a good end. */
export class SlotLauncher {
  readonly #parts: LauncherParts;
  readonly #settings: LauncherSettings;
  #memory: Memory = NO_MEMORY;
  #program: SlotProgram | null = null;
  #startedAt: UptimeMs;
  /** Aborted to choose anew; who asked hears when that is done. */
  #asking = new AbortController();
  #asked: (() => void)[] = [];

  constructor(parts: LauncherParts, settings: LauncherSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#startedAt = parts.clock.monotonic();
  }

  status(): LauncherStatus {
    const { run, restarts } = this.#memory;
    return {
      slot: run?.slot ?? null,
      sha256: run?.sha256 ?? null,
      pid: this.#program?.pid ?? null,
      startedAt: this.#startedAt,
      restarts,
    };
  }

  /** Ends what runs and chooses the slot anew. Resolves when that was started. */
  restart(): Promise<void> {
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#asking.abort();
    });
  }

  /** Until the signal aborts; then nothing runs any more. */
  async run(signal: AbortSignal): Promise<void> {
    const { starter, log } = this.#parts;
    const left = await starter.endLeftovers(this.#settings.graceMs);
    if (left > 0) log.warn({ code: 'launcher_leftovers', processes: left }, 'An earlier launcher left programs behind');
    while (!signal.aborted) {
      const prepared = prepareRun(this.#parts.calls, this.#memory.refused);
      await this.#live(prepared, signal);
      await this.#pause(signal);
    }
  }

  /** One life of a program, from its start to its end. */
  async #live(prepared: Prepared, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    this.#memory = begun(this.#memory, prepared);
    this.#startedAt = clock.monotonic();
    this.#program = this.#start(prepared);
    this.#answer();
    const why = await this.#ending(prepared.trial, signal);
    const ranMs = clock.monotonic() - this.#startedAt;
    if (why === 'time-up' && prepared.trial) this.#giveUp(prepared.trial.id);
    const stuck = (await this.#program?.end(this.#settings.graceMs)) ?? 0;
    if (stuck > 0) log.error({ code: 'launcher_stuck', processes: stuck }, 'Programs do not end, not even by SIGKILL');
    this.#program = null;
    if (why !== 'stopped') this.#memory = over(this.#memory, why, ranMs);
  }

  #start(prepared: Prepared): SlotProgram | null {
    const { calls, starter, log } = this.#parts;
    const { run, trial, fault, lost } = prepared;
    if (fault) log.error({ err: fault, code: fault.code }, 'The disk failed: what was committed is run');
    if (lost) log.error({ ...lost, code: 'launcher_slot_lost' }, 'What was committed is damaged, and is not run');
    if (run === null) {
      log.warn({ code: 'launcher_nothing' }, 'No slot holds anything that could be run');
      return fault ? FAILED : null;
    }
    const about = { slot: run.slot, sha256: run.sha256, trial: trial?.id ?? null, restarts: this.#memory.restarts };
    try {
      const command = commandOf(calls, run.slot);
      if (command === null) {
        log.info({ ...about, code: 'launcher_data' }, 'The slot holds data: nothing is to be run');
        return null;
      }
      const { directory, environment } = this.#settings;
      const program = starter.start(command, {
        directory: `${directory}/${run.slot}`,
        environment: environmentOf(this.#settings, run.slot, environment),
      });
      log.info({ ...about, code: 'launcher_started', pid: program.pid }, 'The slot is started');
      return program;
    } catch (cause) {
      // Read a moment ago: the disk fails. It is tried again like a program that ended.
      log.error({ err: cause, code: codeOf(cause) }, 'The slot cannot be read');
      return FAILED;
    }
  }

  /** What comes first: its end, the end of the trial's time, or a word from outside. */
  async #ending(trial: BootRecord['trial'], signal: AbortSignal): Promise<Ending | 'stopped'> {
    const done = new AbortController();
    try {
      return await Promise.race([
        aborted(signal, done.signal).then((): 'stopped' => 'stopped'),
        aborted(this.#asking.signal, done.signal).then((): Ending => 'asked'),
        this.#ended(done.signal),
        this.#timeUp(trial, done.signal),
      ]);
    } finally {
      done.abort();
    }
  }

  async #ended(over: AbortSignal): Promise<Ending> {
    if (this.#program === null) return NEVER;
    const { code, signal } = await this.#program.ended;
    if (!over.aborted)
      this.#parts.log.warn({ code: 'launcher_ended', exitCode: code, signal }, 'The program has ended by itself');
    return 'ended';
  }

  async #timeUp(trial: BootRecord['trial'], over: AbortSignal): Promise<Ending> {
    if (trial === null) return NEVER;
    await this.#parts.clock.sleep(trialLeftMs(this.#memory, trial.withinMs), over);
    // Who should have settled it may have done so.
    return over.aborted || isSettled(this.#parts.calls, trial.id) ? NEVER : 'time-up';
  }

  #giveUp(trial: number): void {
    const { calls, log } = this.#parts;
    log.warn(
      { code: 'launcher_gave_up', trial },
      'Nobody has settled the trial in its time: back to what was committed',
    );
    try {
      giveUp(calls, trial);
    } catch (cause) {
      log.error({ err: cause, code: codeOf(cause) }, 'That the trial is over could not be written: it is remembered');
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const ms = pauseMs(this.#memory);
    if (ms > 0) await this.#parts.clock.sleep(ms, AbortSignal.any([signal, this.#asking.signal]));
    if (this.#asking.signal.aborted) this.#memory = over(this.#memory, 'asked', 0);
  }

  #answer(): void {
    const asked = this.#asked;
    this.#asked = [];
    if (this.#asking.signal.aborted) this.#asking = new AbortController();
    for (const resolve of asked) resolve();
  }
}

const FAILED: SlotProgram = {
  pid: null,
  ended: Promise.resolve({ code: null, signal: null }),
  end: () => Promise.resolve(0),
};

const NEVER = new Promise<never>(() => {});

const aborted = (signal: AbortSignal, over: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true, signal: over });
  });
