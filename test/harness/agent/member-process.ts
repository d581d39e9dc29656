import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { CloudProcess } from '../cloud-process.ts';
import { newHome } from './cli.ts';

const ROOT = join(import.meta.dirname, '../../..');
const LAUNCHER = join(ROOT, 'agent/bin/paddock-agent.cjs');
const STARTER = join(ROOT, 'agent/bin/paddock-start.cjs');
const PADDOCK = join(ROOT, 'cloud/bin/paddock.cjs');
const SHIFTED = new URL('./shifted-wall-clock.ts', import.meta.url);

const AGAIN_AFTER_MS = 50;
const CONFIGURATION = `
cloud: { claim: claim.jwt }
report: { schedule: '*/2 * * * * *', jitterSeconds: 0 }
log: { level: debug }
`;

/** Calls the program of the cloud as its operator, by a command of two words. @returns what it said */
export const paddockOn = async (
  cloud: CloudProcess,
  noun: string,
  verb: string,
  ...args: string[]
): Promise<string> => {
  const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
  return (await promisify(execFile)(process.execPath, [PADDOCK, noun, verb, ...place, ...args])).stdout.trim();
};

/** `paddock-agent run` with a claim, as it runs on a kiosk. */
export class MemberProcess {
  readonly home = newHome();
  /** What the program said since its first start: the console, and the log. */
  out = '';
  log = '';
  #child: ChildProcess | null = null;
  #ended: Promise<number | null> = Promise.resolve(null);
  #isSupervised = false;

  /** @param more of its configuration */
  static async prepare(claim: string, more = ''): Promise<MemberProcess> {
    const member = new MemberProcess();
    await writeFile(join(member.home, 'claim.jwt'), claim);
    await writeFile(join(member.home, 'agent.yaml'), CONFIGURATION + more);
    return member;
  }

  /** @param wallShiftMs by how much its wall clock is wrong */
  start(wallShiftMs = 0): void {
    const load = wallShiftMs === 0 ? [] : ['--import', SHIFTED.href];
    this.#run([...load, LAUNCHER, 'run'], { WALL_CLOCK_SHIFT_MS: String(wallShiftMs) });
  }

  /** As the service does: whatever paddock-start becomes is started again, soon, when it has ended. Resolves behind {@link stop}. */
  async supervise(slots: string): Promise<void> {
    this.#isSupervised = true;
    while (this.#isSupervised) {
      this.#run([STARTER, '--slots', slots, '--starts', join(this.home, 'starts.json'), '--', 'run']);
      await this.#ended;
      await sleep(AGAIN_AFTER_MS);
    }
  }

  #run(args: readonly string[], environment: object = {}): void {
    const child = spawn(process.execPath, args, { cwd: this.home, env: { ...process.env, ...environment } });
    child.stdout.on('data', (chunk: Buffer) => void (this.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => void (this.log += chunk.toString()));
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('close', resolve));
  }

  /** Of the process that runs; null when none does. */
  get pid(): number | null {
    const child = this.#child;
    return child === null || child.exitCode !== null || child.signalCode !== null ? null : (child.pid ?? null);
  }

  /** Resolves with the exit code when it is over. */
  get ended(): Promise<number | null> {
    return this.#ended;
  }

  async stop(): Promise<void> {
    this.#isSupervised = false;
    this.#child?.kill('SIGTERM');
    await this.#ended;
  }

  async command(...args: string[]): Promise<Record<string, unknown>> {
    const called = [LAUNCHER, ...args, '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, called, { cwd: this.home });
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  /** The id that it was let in under; null before. */
  get device(): string | null {
    return /Enrolled as (kiosk-\w+)/.exec(this.out)?.[1] ?? null;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.home, { recursive: true, force: true });
  }
}
