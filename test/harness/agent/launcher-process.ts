import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectLauncher } from '@paddock/agent/adapters/launcher-client.ts';
import { processesOf } from '@paddock/agent/adapters/starter/processes.ts';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { stage } from '@paddock/agent/slots/stage.ts';
import type { TrialLimits } from '@paddock/agent/ports-firmware.ts';
import { bringObjects, LIMITS, type TestRelease } from './slots.ts';

export const LAUNCHER_PROGRAM = join(import.meta.dirname, '../../../agent/bin/paddock-launcher.cjs');

/** `paddock-launcher` as it runs on a kiosk, on slots of its own: that of the sources, or that of the bundle. */
export class LauncherProcess {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), 'paddock-launcher-')));
  readonly calls = createTreeCalls(this.root);
  readonly slots = new SlotDirectory(this.calls);
  readonly client = connectLauncher(join(this.root, 'launcher.sock'));
  log = '';
  readonly #program: string;
  #child: ChildProcess | null = null;
  #ended: Promise<number | null> = Promise.resolve(null);

  constructor(program = LAUNCHER_PROGRAM) {
    this.#program = program;
  }

  start(...options: string[]): void {
    const args = [this.#program, '--slots', this.root, '--grace', '1', ...options];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (chunk: Buffer) => void (this.log += chunk.toString()));
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('exit', resolve));
  }

  get ended(): Promise<number | null> {
    return this.#ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#ended;
  }

  /** @returns its exit code */
  async stop(): Promise<number | null> {
    this.signal('SIGTERM');
    return this.#ended;
  }

  /** Has a release run from the launcher's next start on, as committed. */
  commit(release: TestRelease): void {
    this.try(release);
    this.slots.markGood(release.release.sha256);
  }

  try(release: TestRelease, limits: TrialLimits = LIMITS): void {
    bringObjects(this.calls, release);
    stage(this.calls, { content: release, ...this.slots.vacate() });
    this.slots.activate(release.release.sha256, limits);
  }

  /** The lines that its programs wrote into `ran`. */
  get ran(): readonly string[] {
    const path = join(this.root, 'data/ran');
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  }

  /** What runs of all that it, or an earlier one, has started. */
  processes(): ReturnType<typeof processesOf> {
    return processesOf(`PADDOCK_LAUNCHER=${this.root}`, null);
  }

  async remove(): Promise<void> {
    await this.kill();
    for (const { pid } of await this.processes()) process.kill(pid, 'SIGKILL');
    rmSync(this.root, { recursive: true, force: true });
  }
}
