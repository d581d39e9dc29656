import { dirname } from 'node:path';
import type { FileCalls } from '@paddock/agent/adapters/disk-calls.ts';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { zstd } from '@paddock/agent/adapters/zstd.ts';
import type { Launcher, LauncherStatus, Programs, TreeCalls } from '@paddock/agent/ports-firmware.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import { createInstaller, type AskInstaller } from '@paddock/agent/slots/installer.ts';
import { createInstallerWork } from '@paddock/agent/slots/installer-work.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import type { UpdateParts } from '@paddock/agent/update/parts.ts';
import { openUpdates, type Updates } from '@paddock/agent/update/updates.ts';
import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import { targetPathOf, type Manifest } from '@paddock/shared/manifest.ts';
import { packPathOf } from '@paddock/shared/pack.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { packOf } from '../packs.ts';
import { EPOCH, TufSimulator, targetOf } from '../tuf/simulator.ts';
import { QuickClock } from './quick-clock.ts';
import type { TestRelease } from './slots.ts';
import { treeFileCalls } from './tree-file-calls.ts';
import { TreeFiles } from './tree-files.ts';

const HOUR = 3_600_000;

/** Metadata and packs of releases, served from memory; what of it is a lie a test says. */
export class UpdateRepository extends TufSimulator {
  readonly indexes = new Map<string, string>();

  /** @param from releases that it has packs from */
  publishRelease(release: TestRelease, from: readonly TestRelease[] = []): void {
    const { name, counter } = release.release;
    const path = targetPathOf({ name, counter });
    this.targets[path] = targetOf(release.manifest);
    this.putTarget(path, release.manifest);
    const index = indexHash(release);
    this.files.set(packPathOf(index, null), packOf(release, null));
    for (const before of from) this.files.set(packPathOf(index, indexHash(before)), packOf(release, before));
    this.publish();
  }

  withdraw({ release }: TestRelease): void {
    delete this.targets[targetPathOf(release)];
    this.publish();
  }

  override async *part(path?: string, from = 0, bytes = 0, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const whole = await this.get(path ?? '', Number.POSITIVE_INFINITY, signal ?? AbortSignal.timeout(1_000));
    if (whole === null) {
      const { FetchError } = await import('@paddock/agent/ports-firmware.ts');
      throw new FetchError('fetch_missing', path ?? '');
    }
    for (let at = from; at < Math.min(from + bytes, whole.length); at += 1_000) {
      signal?.throwIfAborted();
      yield whole.subarray(at, Math.min(at + 1_000, from + bytes, whole.length));
    }
  }
}

/** The same release with another manifest. */
export function remade(release: TestRelease, change: Partial<Manifest>): TestRelease {
  const before = JSON.parse(Buffer.from(release.manifest).toString()) as Manifest;
  const manifest = Buffer.from(JSON.stringify({ ...before, ...change }));
  const { name, version, counter } = { ...release.release, ...change };
  return { ...release, manifest, release: { name, version, counter, sha256: sha256Of(manifest) } };
}

const indexHash = ({ manifest }: TestRelease): string =>
  (JSON.parse(Buffer.from(manifest).toString()) as { index: { sha256: string } }).index.sha256;

/** Where the agent keeps what it knows: on the same file system as the slots, so that one power cut strikes both. */
export const STATE = '/home/state';

/** The launcher without programs: what it would run is healthy or not as a test says. */
class TestLauncher implements Launcher {
  status_: LauncherStatus | null = null;
  readonly starts: string[] = [];
  readonly #calls: TreeFiles;
  readonly #clock: QuickClock;
  readonly #around: Around;

  constructor(calls: TreeFiles, clock: QuickClock, around: Around) {
    this.#calls = calls;
    this.#clock = clock;
    this.#around = around;
    this.begin();
  }

  begin(): void {
    const { run } = this.#around('launch', [], () => prepareRun(this.#calls));
    if (run) this.starts.push(run.sha256);
    const startedAt = this.#clock.monotonic();
    this.status_ = { slot: run?.slot ?? null, sha256: run?.sha256 ?? null, pid: run && 42, startedAt, restarts: 0 };
  }

  status = async (): Promise<LauncherStatus | null> => this.status_;
  restart = async (): Promise<void> => this.begin();
}

/** Stands around a piece of work on the disk, of installer or launcher. */
export type Around = <T>(name: string, given: readonly unknown[], work: () => T) => T;

export interface DeviceWish {
  readonly repository: UpdateRepository;
  readonly around?: Around;
  /** What the agent's own disk is to it. */
  readonly asDisk?: (disk: Disk) => Disk;
  readonly calls?: TreeFiles;
  /** What the file system is to the installer, and to the agent's own disk. */
  readonly asTree?: (calls: TreeCalls) => TreeCalls;
  readonly asFiles?: (calls: FileCalls) => FileCalls;
  readonly model?: string | null;
  readonly bootId?: string;
}

/** One start of a device that updates itself: the real parts on a file system in memory, before a repository that may lie. */
export class UpdateDevice {
  readonly calls: TreeFiles;
  readonly repository: UpdateRepository;
  readonly clock = new QuickClock();
  readonly launcher: TestLauncher;
  readonly said: { code?: string; state?: string; error?: string }[] = [];
  readonly ran: string[] = [];
  time: { earliest: number; latest: number | null } = { earliest: EPOCH + HOUR, latest: EPOCH + HOUR };
  goodSensors = 4;
  /** What there is to wait for until every sensor has told something. */
  sensorsSettle: () => Promise<void> = async () => {};
  /** What programs of releases end with. */
  program: Programs['run'] = async () => ({ code: 0, timedOut: false, output: '' });
  freeBytes = 1_000_000_000;
  readonly #wish: DeviceWish;
  readonly #around: Around;
  readonly #stop = new AbortController();
  #updates: Updates | null = null;
  #running: Promise<void> | null = null;
  #disk: Disk | null = null;

  constructor(wish: DeviceWish) {
    this.#wish = wish;
    this.repository = wish.repository;
    this.calls = wish.calls ?? new TreeFiles();
    if (this.calls.look(dirname(STATE)) === null) this.calls.makeDirectory(dirname(STATE));
    this.#around = wish.around ?? ((_name, _given, work) => work());
    this.launcher = new TestLauncher(this.calls, this.clock, this.#around);
  }

  get disk(): Disk {
    if (this.#disk === null) throw new Error('It was not started');
    return this.#disk;
  }

  get updates(): Updates {
    if (this.#updates === null) throw new Error('It was not started');
    return this.#updates;
  }

  async start(): Promise<void> {
    const { asFiles = (calls) => calls } = this.#wish;
    const disk = await openDisk(STATE, asFiles(treeFileCalls(this.calls)));
    this.#disk = this.#wish.asDisk?.(disk) ?? disk;
    this.#updates = await openUpdates(this.#parts());
    this.#running = this.#updates.run(this.#stop.signal);
  }

  async desire(release: TestRelease | null, more: Partial<DesiredFirmware> = {}): Promise<unknown> {
    return this.updates.handler.apply(release === null ? undefined : { ...release.release, ...more });
  }

  /** Until it has come to this. */
  async until(isThere: (reported: ReturnType<Updates['reported']>) => boolean): Promise<void> {
    // In real time: what is on the disk is hashed by threads that a busy machine keeps waiting.
    for (const end = performance.now() + 15_000; performance.now() < end;) {
      if (isThere(this.updates.reported())) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error(`It never came to this: ${JSON.stringify(this.updates.reported())}`);
  }

  untilState = (state: string): Promise<void> => this.until((reported) => reported.state === state);
  untilRuns = ({ release }: TestRelease): Promise<void> =>
    this.until(({ running, committed, state }) => committed && running?.sha256 === release.sha256 && state !== 'trial');

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #parts(): UpdateParts {
    const hear = (fields: object): void => void this.said.push(fields);
    const tree = this.#wish.asTree?.(this.calls) ?? this.calls;
    const work = createInstallerWork(tree);
    const ask = (async (name: keyof typeof work, given: readonly unknown[]) =>
      this.#around(name, given, () =>
        (work[name] as (...of: readonly unknown[]) => unknown)(...given),
      )) as AskInstaller;
    const installer = { ...createInstaller(tree, ask), freeBytes: async () => this.freeBytes };
    const { model = 'demo-cp22', bootId = 'boot-1' } = this.#wish;
    return {
      clock: this.clock,
      disk: this.disk,
      log: { debug: hear, info: hear, warn: hear, error: hear },
      installer,
      launcher: this.launcher,
      programs: {
        run: (command, options) => {
          this.ran.push(command.join(' '));
          return this.program(command, options);
        },
      },
      zstd,
      time: () => ({
        earliest: wallMs(this.time.earliest),
        latest: this.time.latest === null ? null : wallMs(this.time.latest),
      }),
      firstRoot: () => this.repository.firstRoot,
      ownRepository: () => 'https://cloud.test/firmware/',
      openRepository: () => this.repository,
      model: () => model,
      bootId,
      slotPath: (slot) => `/slots/${slot}`,
      sensors: {
        good: () => this.goodSensors,
        settled: async () => {
          await this.sensorsSettle();
          return this.goodSensors;
        },
      },
      random: () => 0.5,
    };
  }
}
