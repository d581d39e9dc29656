import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, type Child } from '../../demo/src/child.ts';
import { eventually } from './waiting.ts';

/** As systemd's RestartSec. */
const RESTART_MS = 100;
const LOOK_EVERY_MS = 250;

/** An end without being killed or told to stop. */
export interface OwnEnd {
  readonly how: string;
  readonly lastWords: string;
  /** Whether it had said where it listens. */
  readonly wasReady: boolean;
}

/** A program that is started again whenever it ends, as a supervisor of the system would do it. */
export class Supervised {
  readonly #launch: (life: number) => Child;
  readonly #watch: NodeJS.Timeout;
  #child: Child | null = null;
  #life = 0;
  #killed = false;
  #stopping = false;
  #running: Promise<void> = Promise.resolve();
  readonly ownEnds: OwnEnd[] = [];
  readonly logs: string[] = [];
  /** The most memory that one of its lives held, in MiB. */
  peakMiB = 0;

  constructor(launch: (life: number) => Child) {
    this.#launch = launch;
    this.#watch = setInterval(() => this.#measure(), LOOK_EVERY_MS);
  }

  get lives(): number {
    return this.#life;
  }

  /** What this life has written so far. */
  output(): string {
    const log = this.logs.at(-1);
    return this.#child === null || log === undefined ? '' : readFileSync(log, 'utf8');
  }

  start(): void {
    this.#running = this.#keepRunning();
  }

  /** kill -9 of the life that is running, or of the next one. Resolves when it is dead. */
  async kill(): Promise<void> {
    const child = await eventually('a process to kill', async () => this.#child);
    this.#measure();
    this.#killed = true;
    child.kill();
    await child.ended;
  }

  /** @returns how it ended when it was told to stop */
  async stop(withinMs: number): Promise<string> {
    this.#stopping = true;
    clearInterval(this.#watch);
    const child = this.#child;
    await child?.stop(withinMs);
    await this.#running;
    return child === null ? 'it did not run' : child.ended;
  }

  async #keepRunning(): Promise<void> {
    while (!this.#stopping) {
      const child = this.#launch((this.#life += 1));
      this.#killed = false;
      this.logs.push(child.log);
      this.#child = child;
      const how = await child.ended;
      this.#child = null;
      if (this.#stopping) return;
      if (!this.#killed) this.ownEnds.push(ownEnd(child, how));
      await sleep(RESTART_MS);
    }
  }

  #measure(): void {
    if (this.#child?.pid !== undefined) this.peakMiB = Math.max(this.peakMiB, peakOf(this.#child.pid));
  }
}

const ownEnd = (child: Child, how: string): OwnEnd => ({
  how: `${child.name}: ${how}`,
  lastWords: child.lastWords(),
  wasReady: /^http: /m.test(readFileSync(child.log, 'utf8')),
});

/** proc(5): VmHWM is the peak of the resident set. */
function peakOf(pid: number): number {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Math.round(Number(kib ?? 0) / 1024);
  } catch {
    return 0;
  }
}

export const programOf = (name: string, program: string, args: readonly string[], env: Record<string, string>) => {
  return (folder: string, life: number): Child =>
    startChild({ name: `${name} ${life}`, program, args, env, log: `${folder}/${name}-${life}.log` });
};
