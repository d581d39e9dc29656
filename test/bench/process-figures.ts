import { readdir, readFile } from 'node:fs/promises';

/** What the kernel counts of one process (proc_pid_status(5), proc_pid_stat(5), proc_pid_io(5)). */
export interface ProcessFigures {
  readonly rssBytes: number;
  /** The part of it that no other process shares: heap and stacks. The rest is files, Node's own program first of all. */
  readonly anonymousBytes: number;
  readonly processorMs: number;
  /** What was written towards a disk, in whole pages; sockets and terminals do not count. */
  readonly diskBytes: number;
  readonly atMs: number;
}

/** The kernel's USER_HZ, which is 100 on every Linux that runs Node. */
const MS_PER_TICK = 10;

export async function figuresOf(pid: number): Promise<ProcessFigures> {
  const [status, stat, io] = await Promise.all(
    ['status', 'stat', 'io'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8')),
  );
  // The second field is the program's name in parentheses, and may hold anything; utime and stime are 14 and 15.
  const [utime = 0, stime = 0] = (stat ?? '').split(') ').at(-1)?.split(' ').slice(11, 13).map(Number) ?? [];
  return {
    rssBytes: counted(status, /^VmRSS:\s+(\d+) kB/m) * 1024,
    anonymousBytes: counted(status, /^RssAnon:\s+(\d+) kB/m) * 1024,
    processorMs: (utime + stime) * MS_PER_TICK,
    diskBytes: counted(io, /^write_bytes: (\d+)/m),
    atMs: performance.now(),
  };
}

/** Processor time of the backends of one PostgreSQL database, by their titles; those that have ended are not in it. */
export async function backendsMs(database: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const spent = pids.map(async (pid) => {
    const title = await readFile(`/proc/${pid}/cmdline`, 'latin1');
    return title.startsWith('postgres: ') && title.includes(` ${database} `)
      ? (await figuresOf(Number(pid))).processorMs
      : 0;
  });
  return (await Promise.allSettled(spent)).reduce((sum, one) => sum + (one.status === 'fulfilled' ? one.value : 0), 0);
}

/** Processor time of what a process has started, and of what that has, as far as it runs. */
export async function offspringMs(pid: number): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    pids.map(async (one) => [Number(one), await parentOf(one).catch(() => NaN)] as const),
  );
  const below = (parent: number): number[] =>
    parents.flatMap(([one, its]) => (its === parent ? [one, ...below(one)] : []));
  const spent = await Promise.allSettled(below(pid).map(figuresOf));
  return spent.reduce((sum, one) => sum + (one.status === 'fulfilled' ? one.value.processorMs : 0), 0);
}

const parentOf = async (pid: string): Promise<number> =>
  counted(await readFile(`/proc/${pid}/status`, 'utf8'), /^PPid:\s+(\d+)/m);

function counted(text: string | undefined, pattern: RegExp): number {
  const digits = pattern.exec(text ?? '')?.[1];
  if (digits === undefined) throw new Error(`nothing like ${pattern} in /proc`);
  return Number(digits);
}
