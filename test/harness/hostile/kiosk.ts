import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import { LauncherProcess } from '../agent/launcher-process.ts';
import { MemberProcess } from '../agent/member-process.ts';
import { faultsOf, releaseOf, type TestRelease } from '../agent/slots.ts';
import { HostileCloud } from './cloud.ts';

const WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 20;
/** Told anything new, the agent looks at once: after what the launcher was told, and after a failure. */
const NUDGE_EVERY_MS: Partial<Record<string, number>> = { armed: 150, switched: 150, idle: 500 };
const ELSE_EVERY_MS = 3_000;

const PROGRAM = '#!/bin/sh\nexec sleep 1000\n';
const HEALTH = { withinSeconds: 60, settleSeconds: 0, sensors: true };

/** A release that no other is like, and that is mostly one file. @param seed of that file */
export const plainRelease = (
  counter: number,
  other: object = {},
  seed = String(counter),
  files: TestRelease['files'] = {},
): TestRelease =>
  releaseOf(
    counter,
    { ...files, 'app.txt': digests(seed), 'bin/kiosk': PROGRAM, 'same.txt': 'the same in every release\n'.repeat(500) },
    { health: HEALTH, ...other },
  );
const digests = (seed: string): string =>
  Array.from({ length: 64 }, (_, n) => `${sha256Of(Buffer.from(`${seed} ${n}`))}\n`).join('');

/** What an attack came to. */
export interface Verdict {
  /** Of the report. */
  readonly code: string;
  /** The same agent and the same program run on, from the same slot. */
  readonly isUntouched: boolean;
  readonly faults: readonly string[];
}
export const harmless = (code: string): Verdict => ({ code, isUntouched: true, faults: [] });

/** A whole kiosk: agent and launcher as they run on one, before a cloud that is not to be trusted. */
export class HostileKiosk {
  readonly cloud: HostileCloud;
  readonly agent: MemberProcess;
  readonly launcher: LauncherProcess;
  /** What operators really published. */
  readonly genuine: TestRelease[] = [];

  private constructor(cloud: HostileCloud, agent: MemberProcess, launcher: LauncherProcess) {
    this.cloud = cloud;
    this.agent = agent;
    this.launcher = launcher;
  }

  /**
   * Runs its first release.
   * @param isSupervised its agent is started by `paddock-start`, and again whenever it ends, as a service does
   */
  static async start(isSupervised = false): Promise<HostileKiosk> {
    const cloud = await HostileCloud.open();
    const launcher = new LauncherProcess();
    const agent = await MemberProcess.prepare(cloud.claim, `firmware: { slots: ${launcher.root} }\n`);
    const kiosk = new HostileKiosk(cloud, agent, launcher);
    launcher.start();
    if (isSupervised) void agent.supervise(launcher.root);
    else await kiosk.startAgent();
    await kiosk.until('a first report', () => cloud.reports.length > 0);
    await kiosk.install(kiosk.publish());
    return kiosk;
  }

  /** @param wallShiftMs by how much its wall clock is wrong */
  async startAgent(wallShiftMs = 0): Promise<void> {
    const before = this.cloud.reports.at(-1)?.start;
    this.agent.start(wallShiftMs);
    await this.until('a first report', () => (this.cloud.reports.at(-1)?.start ?? before) !== before);
  }

  /** Waits until so many more came. */
  async reports(count: number): Promise<void> {
    const { length } = this.cloud.reports;
    await this.until('more reports', () => this.cloud.reports.length >= length + count);
  }

  /** The next release, signed by all who have to. @param other of its manifest @param files more of them */
  publish(other: object = {}, files: TestRelease['files'] = {}): TestRelease {
    const counter = this.genuine.length + 1;
    const release = plainRelease(counter, other, String(counter), files);
    this.cloud.repository.publishRelease(release, this.genuine.slice(-2));
    this.genuine.push(release);
    return release;
  }

  /** What an attacker calls the next release. */
  forged(): TestRelease {
    return plainRelease(this.genuine.length + 1, {}, 'mine');
  }

  /** Of the newest report. */
  get reported(): ReportedFirmware | undefined {
    return this.cloud.reports.at(-1)?.firmware;
  }

  /** Desires a release until a report says that it runs and is committed. */
  async install({ release }: TestRelease): Promise<void> {
    let told = Number.NEGATIVE_INFINITY;
    await this.until(`${release.version} to run`, async () => {
      const { running, committed, state } = this.reported ?? {};
      if (running?.sha256 === release.sha256 && committed && (state === 'committed' || state === 'idle')) return true;
      if (performance.now() - told > (NUDGE_EVERY_MS[state ?? 'idle'] ?? ELSE_EVERY_MS)) {
        await this.cloud.desire(release);
        told = performance.now();
      }
      return false;
    });
  }

  /** Desires a release while somebody attacks, until a signed report says why it comes to nothing. */
  async attacked({ release }: Pick<TestRelease, 'release'>, change: Partial<DesiredFirmware> = {}): Promise<Verdict> {
    await this.#forgetsWhyNot(release.sha256);
    const [before, ran] = [await this.standing(), this.reported?.running];
    const wanted = { ...release, ...change };
    const version = await this.cloud.desire(wanted);
    const code = (): string | null => this.#errorAt(version, wanted.sha256);
    await this.until(`a reason against ${release.version}`, () => code() !== null);
    const { running, committed } = this.reported ?? {};
    const says = isDeepStrictEqual(running, ran) && committed === true;
    const isUntouched = says && isDeepStrictEqual(await this.standing(), before);
    return { code: code() ?? '', isUntouched, faults: this.faults() };
  }

  /** The attack ends: the repository is what operators made of it. */
  async recovers(release: TestRelease): Promise<void> {
    this.cloud.server.attack = null;
    this.cloud.repository.lies.clear();
    await this.install(release);
  }

  /** What it says of a release that it was to install before is not what it says now. */
  async #forgetsWhyNot(sha256: string): Promise<void> {
    if (this.reported?.target?.sha256 !== sha256) return;
    await this.cloud.desire(null);
    await this.until('the old reason to go', () => this.reported?.error === undefined);
  }

  #errorAt(version: number, sha256: string): string | null {
    const { desired, firmware } = this.cloud.reports.at(-1) ?? {};
    const isMeant = desired?.version === version && firmware?.target?.sha256 === sha256;
    return isMeant ? (firmware.error?.code ?? null) : null;
  }

  /** What runs, and since when. */
  async standing(): Promise<object> {
    const { slot, sha256, pid, restarts } = (await this.launcher.client.status()) ?? {};
    return { slot, sha256, pid, restarts, agent: this.agent.pid };
  }

  /** What is in the slots and among the objects, and should not be. */
  faults(): string[] {
    const { calls, slots } = this.launcher;
    const { running, other, trial } = slots.status();
    const held = [running, other && { slot: running?.slot === 'a' ? ('b' as const) : ('a' as const), release: other }];
    return [
      ...held.flatMap((one) => (one ? faultsOf(calls, one.slot, one.release.sha256, this.genuine) : [])),
      ...(trial ? [`${trial.release.version} is on trial`] : []),
      ...(running?.committed === true ? [] : ['nothing is committed']),
      ...this.#strayObjects(),
      ...(this.agent.log.match(/"level":60.*/g) ?? []),
    ];
  }

  #strayObjects(): string[] {
    const directory = join(this.launcher.root, 'objects');
    const whole = readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name));
    return whole.filter((name) => sha256Of(readFileSync(join(directory, name))) !== name);
  }

  async until(what: string, isThere: () => boolean | Promise<boolean>, withinMs = WITHIN_MS): Promise<void> {
    const end = performance.now() + withinMs;
    while (!(await isThere())) {
      if (performance.now() > end)
        throw new Error(
          `Waited in vain for ${what}: ${JSON.stringify(this.reported)}\n${this.agent.log.slice(-3_000)}`,
        );
      await sleep(LOOK_EVERY_MS);
    }
  }

  async remove(): Promise<void> {
    await this.agent.remove();
    await this.launcher.remove();
    await this.cloud.close();
  }
}
