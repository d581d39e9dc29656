import { execFile } from 'node:child_process';
import { access, constants, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './errors.ts';

const run = promisify(execFile);

/** Who PostgreSQL runs as: null for ourselves, because only root has to step down. */
export type Account = { readonly uid: number; readonly gid: number } | null;

/** How a program is started: `file` with `args`, and the ids that the operating system gives it. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly ids: { readonly uid?: number; readonly gid?: number };
}

const SETPRIV = '/usr/bin/setpriv';
const OWN_USER = 'paddock-db';
/** Capabilities by their bit (capabilities(7)), least powerful first: either lets a process pass closed parents. */
const PASSING = [
  { name: 'dac_read_search', bit: 2n },
  { name: 'dac_override', bit: 1n },
] as const;

/**
 * PostgreSQL refuses to run as root. Then the system's user `postgres` is taken, or a user of our own, made once.
 * @throws EmbeddedPostgresError `database_user_missing`
 */
export async function databaseAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return null;
  const existing = (await idsOf('postgres')) ?? (await idsOf(OWN_USER));
  if (existing) return existing;
  try {
    await run('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', OWN_USER]);
  } catch (cause) {
    throw new EmbeddedPostgresError('database_user_missing', `run as another user, or add the user ${OWN_USER}`, {
      cause,
    });
  }
  const made = await idsOf(OWN_USER);
  if (!made) throw new EmbeddedPostgresError('database_user_missing', `useradd made no user ${OWN_USER}`);
  return made;
}

async function idsOf(user: string): Promise<Account> {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, user])));
    return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) };
  } catch {
    return null;
  }
}

/**
 * How to start a program as the account, so that it reaches the directories although a parent of them is closed to
 * it (a checkout in root's home), and so that it ends when this process is killed, where the system offers that.
 * @throws EmbeddedPostgresError `database_unreachable_dir`
 */
export async function launcher(
  account: Account,
  directories: readonly string[],
): Promise<(file: string, args: readonly string[]) => Launch> {
  const setpriv = await canRun(SETPRIV);
  const closed = account && (await firstClosed(account, directories));
  const capability = closed ? await passingCapability() : undefined;
  if (closed && !(setpriv && capability))
    throw new EmbeddedPostgresError(
      'database_unreachable_dir',
      `open ${closed} with chmod o+x, or move the data directory`,
    );
  if (!setpriv) return (file, args) => ({ file, args, ids: account ?? {} });
  const flags = [
    '--pdeathsig=INT',
    ...(account ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'] : []),
    ...(capability ? [`--inh-caps=-all,+${capability}`, `--ambient-caps=-all,+${capability}`] : []),
  ];
  return (file, args) => ({ file: SETPRIV, args: [...flags, '--', file, ...args], ids: {} });
}

const canRun = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false,
  );

/** The first directory on the way down to the given ones that the account may not pass, by its mode. */
async function firstClosed(account: NonNullable<Account>, directories: readonly string[]): Promise<string | undefined> {
  for (const directory of new Set(directories.flatMap(withParents))) {
    const { uid, gid, mode } = await stat(directory);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return directory;
  }
  return undefined;
}

const withParents = (directory: string): string[] =>
  directory === dirname(directory) ? [directory] : [...withParents(dirname(directory)), directory];

async function passingCapability(): Promise<string | undefined> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return PASSING.find(({ bit }) => (effective >> bit) & 1n)?.name;
}
