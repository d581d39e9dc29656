import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import type { Clock } from '../ports.ts';

/** flock(2): LOCK_EX | LOCK_NB, and the errno of a lock that somebody else holds. */
const LOCK_NOW = 2 | 4;
const { EWOULDBLOCK } = koffi.os.errno;

export class DataDirError extends Error {
  override readonly name = 'DataDirError';
  readonly code: 'data_dir_in_use' | 'data_dir_unusable';
  constructor(code: DataDirError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What to do about the ways in which a directory cannot be used. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space',
  EDQUOT: 'the quota is used up: free some space',
  EROFS: 'the file system is mounted read-only: mount it writable, or give the agent another dataDir',
  EACCES: 'it belongs to another user: chown it to the one the agent runs as',
  EPERM: 'it belongs to another user: chown it to the one the agent runs as',
  EIO: 'the disk fails: replace it',
};

/** Words what the system said about a directory that cannot be used; anything else stays as it is. */
export function explainDataDir(dir: string, cause: unknown): unknown {
  if (!(cause instanceof Error && 'syscall' in cause && 'code' in cause)) return cause;
  const advice = ADVICE[String(cause.code)];
  const message = `${dir} cannot be used${advice === undefined ? '' : `, ${advice}`} (${cause.message})`;
  return new DataDirError('data_dir_unusable', message, { cause });
}

/**
 * Takes the data directory for this process alone: two agents with one identity would be clones of each other.
 * The kernel lets go of the lock when the process ends, however it ends.
 * @param who may be there once
 * @returns what releases it
 * @throws DataDirError
 */
export const lockDataDir = (dir: string, who: 'agent' | 'launcher' = 'agent'): (() => void) => lock(dir, LOCK, who);

/**
 * Takes the directory of the slots for this agent alone: what one installs, the other would tear. The launcher, which
 * works there as well, has a lock of its own.
 * @returns what releases it
 * @throws DataDirError
 */
export const lockSlots = (dir: string): (() => void) => lock(dir, AGENT_LOCK, 'agent');

const LOCK = 'lock';
const AGENT_LOCK = 'agent.lock';

function lock(dir: string, name: string, who: 'agent' | 'launcher'): () => void {
  const fd = openLock(dir, name);
  const flock = koffi.load(null).func('int flock(int, int)');
  if (flock(fd, LOCK_NOW) === 0) return () => closeSync(fd);
  const errno = koffi.errno();
  closeSync(fd);
  if (errno !== EWOULDBLOCK) throw new DataDirError('data_dir_unusable', `${dir} cannot be locked (errno ${errno})`);
  throw new DataDirError(
    'data_dir_in_use',
    `Another ${who} is running on ${dir}: stop it, or give this one a directory of its own`,
  );
}

/** How long somebody else may hold what is held for a moment, and how often it is tried. */
const MOMENT_MS = 5_000;
const TRY_EVERY_MS = 20;

/**
 * Does something that nobody else does meanwhile who asks for it by the same name, in whatever process.
 * @throws DataDirError
 */
export async function exclusively<T>(
  dir: string,
  name: string,
  clock: Pick<Clock, 'monotonic' | 'sleep'>,
  work: () => Promise<T>,
): Promise<T> {
  const fd = openLock(dir, name);
  try {
    const flock = koffi.load(null).func('int flock(int, int)');
    const until = clock.monotonic() + MOMENT_MS;
    while (flock(fd, LOCK_NOW) !== 0) {
      if (clock.monotonic() > until) throw new DataDirError('data_dir_unusable', `${join(dir, name)} cannot be locked`);
      await clock.sleep(TRY_EVERY_MS);
    }
    return await work();
  } finally {
    closeSync(fd);
  }
}

function openLock(dir: string, name: string): number {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return openSync(join(dir, name), 'a', 0o600);
  } catch (cause) {
    throw explainDataDir(dir, cause);
  }
}
