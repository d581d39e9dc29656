import { chmod, lchown, lstat, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join, relative, sep } from 'node:path';
import { LocalSocketError } from '../../ports-local.ts';

export interface SocketPlace {
  /** Absolute. */
  readonly socket: string;
  /** By name or number; absent: the agent's own. */
  readonly group?: string | undefined;
  /** Octal, as chmod takes it. */
  readonly mode: string;
}

/** sun_path of unix(7) takes 107 bytes, and the socket has a longer name until it is ready. */
export const MOST_PATH_BYTES = 103;
/** Of its directory: whoever may use the socket has to get through. */
const DIRECTORY_MODES: Readonly<Record<string, number>> = { '0600': 0o700, '0660': 0o750, '0666': 0o755 };
const OWNER_ALONE = 0o700;
const OWNER_ONLY = 0o600;
const GROUPS_FILE = '/etc/group';
const ANSWERS_WITHIN_MS = 2_000;

/** The one that was made, and no other that has its name since. */
export interface OwnSocket {
  isThere(): Promise<boolean>;
  remove(): Promise<void>;
}

/** What lies at the path. `stale`: a socket on which nobody listens, as an agent that was killed leaves it. */
export type Found = 'nothing' | 'stale' | 'live' | 'other';

/**
 * Has the server listen at the path. The socket gets its name when its group and mode are right, so nobody gets in
 * before; and one that is live, or no socket, is left alone.
 * @throws LocalSocketError
 */
export async function listenAt(server: Server, { socket, group, mode }: SocketPlace): Promise<OwnSocket> {
  if (Buffer.byteLength(socket) > MOST_PATH_BYTES) throw new LocalSocketError('local_path_long', socket);
  const gid = group === undefined ? null : await groupId(group);
  const unready = `${socket}.new`;
  try {
    await makeDirectory(dirname(socket), gid, DIRECTORY_MODES[mode] ?? OWNER_ALONE);
    // One that a killed agent did not get ready is of no use; anything else is somebody's.
    await requireFree(unready);
    await rm(unready, { force: true });
    await listen(server, unready);
    if (gid !== null) await lchown(unready, process.getuid?.() ?? 0, gid);
    await chmod(unready, Number.parseInt(mode, 8));
    await requireFree(socket);
    const { ino } = await lstat(unready);
    await rename(unready, socket);
    const isThere = async (): Promise<boolean> => (await lstat(socket).catch(() => null))?.ino === ino;
    return { isThere, remove: async () => void ((await isThere()) && (await rm(socket, { force: true }))) };
  } catch (cause) {
    // It goes with its name.
    server.close();
    if (cause instanceof LocalSocketError) throw cause;
    throw new LocalSocketError('local_failed', cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function requireFree(socket: string): Promise<void> {
  const found = await lookAt(socket);
  if (found === 'live') throw new LocalSocketError('local_in_use', socket);
  if (found === 'other') throw new LocalSocketError('local_path_taken', socket);
}

/** @throws what the system says when it cannot be told */
export async function lookAt(socket: string): Promise<Found> {
  const there = await lstat(socket).catch((cause: unknown) => {
    if (isSystemError(cause, 'ENOENT')) return null;
    throw cause;
  });
  if (there === null) return 'nothing';
  return there.isSocket() ? answers(socket) : 'other';
}

/** One that hangs has a queue of connections, and is live. */
const answers = (socket: string): Promise<Found> =>
  new Promise((resolve, reject) => {
    const asked = connect(socket);
    const found = (what: Found): void => {
      asked.destroy();
      resolve(what);
    };
    asked.setTimeout(ANSWERS_WITHIN_MS, () => found('live'));
    asked.on('connect', () => found('live'));
    asked.on('error', (cause) => {
      if (isSystemError(cause, 'ECONNREFUSED')) found('stale');
      else if (isSystemError(cause, 'ENOENT')) found('nothing');
      else if (isSystemError(cause, 'EAGAIN')) found('live');
      else reject(cause);
    });
  });

const isSystemError = (cause: unknown, code: string): boolean =>
  cause instanceof Error && 'code' in cause && cause.code === code;

/** Made with the group of the socket, each part that is missing; one that is there is somebody else's business. */
async function makeDirectory(directory: string, gid: number | null, mode: number): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: OWNER_ALONE });
  if (first === undefined) return;
  const parts = relative(dirname(first), directory).split(sep);
  for (const [at] of parts.entries()) {
    const made = join(dirname(first), ...parts.slice(0, at + 1));
    if (gid !== null) await lchown(made, process.getuid?.() ?? 0, gid);
    await chmod(made, mode);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const before = process.umask(0o777 & ~OWNER_ONLY);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

/** @throws LocalSocketError `local_group_unknown` */
export async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = (await readFile(GROUPS_FILE, 'utf8')).split('\n');
  const [, , id] = lines.map((line) => line.split(':')).find(([name]) => name === group) ?? [];
  if (id === undefined) throw new LocalSocketError('local_group_unknown', group);
  return Number(id);
}
