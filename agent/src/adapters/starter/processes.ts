import { readdir, readFile } from 'node:fs/promises';

export interface FoundProcess {
  readonly pid: number;
  readonly group: number;
  /** As it was started, arguments apart by NUL. */
  readonly command: string;
}

/**
 * The processes that carry a mark in their environment, and those of a group: a program may overwrite its environment,
 * and may leave its group, and hardly does both. Dead ones that nobody has waited for do not count.
 */
export async function processesOf(mark: string, group: number | null): Promise<readonly FoundProcess[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 1 && pid !== process.pid);
  const found = await Promise.all(pids.map((pid) => processOf(pid, mark, group)));
  return found.filter((each) => each !== null);
}

async function processOf(pid: number, mark: string, group: number | null): Promise<FoundProcess | null> {
  const [stat, environment] = await Promise.all([read(`/proc/${pid}/stat`), read(`/proc/${pid}/environ`)]);
  const of = groupOf(stat);
  if (of === null) return null;
  const isOurs = of === group || `\0${environment}`.includes(`\0${mark}\0`);
  return isOurs ? { pid, group: of, command: await read(`/proc/${pid}/cmdline`) } : null;
}

/** proc_pid_stat(5): the name in brackets may hold anything; behind it are state, parent and group. */
function groupOf(stat: string): number | null {
  const [state = '', , group = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return group === '' || state === 'Z' || state === 'X' ? null : Number(group);
}

/** It may have ended, or be somebody else's. */
const read = (path: string): Promise<string> => readFile(path, 'latin1').catch(() => '');
