import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** This machine's Debian, on which a package can be installed and nothing stays: what is written goes to memory. */
export class ThrowawayRoot {
  readonly #base: string;
  readonly path: string;
  readonly #mounted: string[] = [];

  /** Only root can. */
  constructor() {
    this.#base = mkdtempSync(join(tmpdir(), 'paddock-root-'));
    this.path = join(this.#base, 'root');
    this.#mount(['-t', 'tmpfs', 'tmpfs'], this.#base);
    const [upper, work] = [join(this.#base, 'upper'), join(this.#base, 'work')];
    for (const directory of [upper, work, this.path]) mkdirSync(directory);
    this.#mount(['-t', 'overlay', 'overlay', '-o', `lowerdir=/,upperdir=${upper},workdir=${work}`], this.path);
    for (const kernel of ['/proc', '/dev']) this.#mount(['--bind', kernel], join(this.path, kernel));
  }

  #mount(what: readonly string[], at: string): void {
    execFileSync('mount', [...what, at]);
    this.#mounted.push(at);
  }

  /** @returns what a command of a shell said there, both of its outputs */
  async sh(script: string): Promise<string> {
    const { stdout, stderr } = await run('chroot', [this.path, '/bin/sh', '-ec', script]);
    return stdout + stderr;
  }

  /** Starts a program there as a service's user. */
  start(command: readonly string[], user: string, environment: Readonly<Record<string, string>>): ChildProcess {
    const as = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--no-new-privs'];
    return spawn('chroot', [this.path, ...as, ...command], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }

  remove(): void {
    for (const at of this.#mounted.toReversed()) execFileSync('umount', ['--lazy', at]);
    rmSync(this.#base, { recursive: true, force: true });
  }
}
