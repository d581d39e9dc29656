import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { giveUp, prepareRun } from '@paddock/agent/slots/launch.ts';
import { stage } from '@paddock/agent/slots/stage.ts';
import { conclude, type Outcome } from '@paddock/agent/update/conclude.ts';
import { decide } from '@paddock/agent/update/decide.ts';
import type { Action, Facts } from '@paddock/agent/update/facts.ts';
import { isBelowFloor, isQuarantined, NO_JOURNAL, type Journal } from '@paddock/agent/update/journal.ts';
import { bringObjects, LIMITS, releaseOf, type TestRelease } from './slots.ts';
import { TreeFiles } from './tree-files.ts';

/** What a release of the model is like, whatever its manifest says. */
export interface ModelRelease extends TestRelease {
  readonly isHealthy: boolean;
  readonly fits: boolean;
  /** Whether the cloud can be reached while it runs. */
  readonly reaches: boolean;
}

export const modelRelease = (counter: number, flaws: Partial<ModelRelease> = {}): ModelRelease => ({
  ...releaseOf(counter, { 'bin/kiosk': `kiosk ${counter}`, data: `of ${counter}` }),
  isHealthy: true,
  fits: true,
  reaches: true,
  ...flaws,
});

const HOUR_MS = 60 * 60_000;

/** Where the power is cut during an action: before it, when it is done, or when that is written down. */
export type Cut = 'before' | 'behind' | null;

/**
 * The decisions of updates on real slots in memory, with everything around them as a test says: what is desired, what
 * is published, who holds the lock. Each step keeps watch over what must never happen.
 */
export class UpdateWorld {
  readonly calls = new TreeFiles();
  readonly slots = new SlotDirectory(this.calls);
  readonly releases: readonly ModelRelease[];
  readonly published = new Set<string>();
  readonly activated: string[] = [];
  journal: Journal = NO_JOURNAL;
  desired: ModelRelease | null = null;
  isWindowOpen = true;
  isLocked = false;
  isCloudUp = true;
  failure: string | null = null;
  watchedMs = 0;
  /** What ran before was tried, because the cloud was away for a day. */
  isDoubted = false;
  /** Of the clock, since the last commit or the last answer of the cloud. */
  unreachedMs = 0;
  readonly #approved = new Set<string>();
  #agreed: string | null = null;
  #fetched: string | null = null;
  #isPaused = false;
  #isReached = false;
  #runs: string | null = null;
  #isLauncherUp = true;

  constructor(releases: readonly ModelRelease[]) {
    this.releases = releases;
    for (const { release } of releases) this.published.add(release.sha256);
    this.launch();
  }

  get running(): string | null {
    return this.slots.status().running?.release.sha256 ?? null;
  }

  get isLauncherUp(): boolean {
    return this.#isLauncherUp;
  }

  set isLauncherUp(isUp: boolean) {
    if (isUp && !this.#isLauncherUp) this.launch();
    this.#isLauncherUp = isUp;
  }

  /** What the launcher does when it starts, and when its program has ended. */
  launch(): void {
    this.#runs = prepareRun(this.calls).run?.sha256 ?? null;
    this.#isLauncherUp = true;
  }

  giveUp(): void {
    const { trial } = this.slots.status();
    if (trial === null || trial.starts === 0 || trial.release.sha256 !== this.#runs) return;
    giveUp(
      this.calls,
      JSON.parse(String(Buffer.from(this.#file('boot.json')).toString().split('\n')[0])).trial.id as number,
    );
    this.launch();
  }

  #file(path: string): Uint8Array {
    const file = this.calls.open(path);
    const buffer = new Uint8Array(4_096);
    return buffer.subarray(0, file.read(buffer));
  }

  /** The agent ends and starts again: what it remembers is in the journal. */
  restart(): void {
    this.#agreed = null;
    this.#fetched = null;
    this.#isPaused = false;
    this.#isReached = false;
    // What was not written down is forgotten.
    this.watchedMs = 0;
  }

  reboot(): void {
    this.restart();
    this.launch();
  }

  wait(hours = 4): void {
    this.#isPaused = false;
    this.unreachedMs += hours * HOUR_MS;
    if (this.journal.watch !== null) this.watchedMs += hours * HOUR_MS;
    const runs = this.releases.find(({ release }) => release.sha256 === this.#runs);
    if (!this.isCloudUp || runs?.reaches === false) return;
    this.#isReached = true;
    this.unreachedMs = 0;
  }

  facts(): Facts {
    return {
      desired: this.desired && { ...this.desired.release },
      slots: this.slots.status(),
      launcher: this.#isLauncherUp ? { sha256: this.#runs } : null,
      agreed: this.#agreed,
      isFetched: this.#fetched !== null && this.#fetched === this.journal.target?.sha256,
      isWindowOpen: this.isWindowOpen,
      isLocked: this.isLocked,
      isPaused: this.#isPaused,
      isReached: this.#isReached,
      watchedMs: (this.journal.watch?.ms ?? 0) + this.watchedMs,
    };
  }

  /** Decides and acts once. @returns whether there was something to do */
  step(cut: Cut = null): boolean {
    this.#watchOver();
    const decision = decide(this.journal, this.facts());
    if (decision.kind === 'rest') return false;
    if (decision.kind === 'note') {
      if (JSON.stringify(decision.journal) === JSON.stringify(this.journal)) throw new Error('It notes what it knows');
      if (cut !== null) return this.#cut();
      this.#keep(decision.journal);
      if (decision.isTrouble === true) this.#isPaused = true;
      return true;
    }
    if (cut === 'before') return this.#cut();
    const outcome = this.#perform(decision.action);
    if (cut === 'behind') return this.#cut();
    const { journal, pause } = conclude(this.journal, decision.action, outcome);
    this.#keep(journal);
    this.#isPaused = pause !== null;
    return true;
  }

  /** What is committed was found good while it was on trial, whatever happened since. */
  #watchOver(): void {
    const { running } = this.slots.status();
    if (running?.committed === true && !this.#approved.has(running.release.sha256))
      throw new Error(`${running.release.version} was committed, and nobody found it good`);
  }

  #cut(): true {
    this.restart();
    return true;
  }

  #keep(journal: Journal): void {
    for (const [name, floor] of Object.entries(this.journal.floors)) {
      if ((journal.floors[name]?.counter ?? 0) < floor.counter) throw new Error(`The floor of ${name} went back`);
    }
    for (const { sha256, code } of journal.quarantined)
      if (!isQuarantined(this.journal, sha256)) this.#checkBlame(sha256, code);
    if (journal.watch !== null && this.journal.watch === null) this.unreachedMs = 0;
    const phase = (of: Journal): unknown => [of.watch?.phase, of.watch?.release.sha256];
    if (JSON.stringify(phase(journal)) !== JSON.stringify(phase(this.journal))) this.#isReached = false;
    if (journal.watch?.ms !== this.journal.watch?.ms || journal.watch?.phase !== this.journal.watch?.phase)
      this.watchedMs = 0;
    this.journal = journal;
  }

  /** A release that is good is put away only when nobody could say so in time. */
  #checkBlame(sha256: string, code: string): void {
    const release = this.releases.find((each) => each.release.sha256 === sha256);
    if (code === 'update_given_up' || code === 'update_hook_failed') return;
    if (release?.isHealthy === true && !(code === 'update_cloud_unreached' && this.isDoubted))
      throw new Error(`${release.release.version} was put away for ${code}`);
  }

  #perform(action: Action): Outcome {
    const { failure } = this;
    this.failure = null;
    if (failure !== null) return { kind: 'failed', error: { code: failure } };
    try {
      const code = this.#does(action);
      return code === null ? { kind: 'done' } : { kind: 'failed', error: { code } };
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause) return { kind: 'failed', error: { code: String(cause.code) } };
      throw cause;
    }
  }

  #does(action: Action): string | null {
    const target = this.releases.find(({ release }) => release.sha256 === this.journal.target?.sha256);
    switch (action) {
      case 'look':
        return this.#look();
      case 'download':
        if (!this.isWindowOpen) throw new Error('It fetches outside of the window');
        if (target) bringObjects(this.calls, target);
        this.#fetched = target?.release.sha256 ?? null;
        return null;
      case 'stage':
        if (target) stage(this.calls, { content: target, ...this.slots.vacate() });
        return null;
      case 'activate':
        if (target) this.#activate(target);
        return null;
      case 'restart':
        if (this.journal.state === 'armed' && (this.isLocked || !this.isWindowOpen))
          throw new Error('Somebody is interrupted');
        this.launch();
        return null;
      case 'judge':
        return this.#judge();
      case 'mark good':
        this.slots.markGood(this.slots.status().trial?.release.sha256 ?? '');
        return null;
      case 'roll back':
        this.slots.rollBack(LIMITS);
        return null;
      case 'try other':
        if (this.unreachedMs < 24 * HOUR_MS) throw new Error('The cloud was not away for a day');
        this.isDoubted = true;
        this.slots.rollBack(LIMITS);
        return null;
      case 'before':
      case 'after':
        return null;
    }
  }

  #look(): string | null {
    if (this.desired === null) return null;
    const { sha256 } = this.desired.release;
    if (!this.published.has(sha256)) return 'tuf_target_unknown';
    if (!this.desired.fits) return 'update_model_wrong';
    this.#agreed = sha256;
    return null;
  }

  #activate(target: ModelRelease): void {
    const { release } = target;
    const isDesired = this.desired?.release.sha256 === release.sha256 && this.#agreed === release.sha256;
    if (!isDesired || !target.fits) throw new Error(`${release.version} is not agreed on`);
    if (isQuarantined(this.journal, release.sha256)) throw new Error(`${release.version} is in quarantine`);
    if (isBelowFloor(this.journal, release)) throw new Error(`${release.version} is below the floor`);
    if (this.isLocked || !this.isWindowOpen) throw new Error('Somebody is interrupted');
    this.slots.activate(release.sha256, LIMITS);
    this.activated.push(release.sha256);
  }

  #judge(): string | null {
    const runs = this.releases.find(({ release }) => release.sha256 === this.#runs);
    if (runs?.isHealthy !== true || runs.release.sha256 !== this.journal.target?.sha256) return 'update_probe_failed';
    this.#approved.add(runs.release.sha256);
    return null;
  }
}
