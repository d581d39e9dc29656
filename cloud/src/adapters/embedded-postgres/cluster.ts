import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { databaseAccount, launcher, type Account, type Launch } from './account.ts';
import { findBinaries } from './binaries.ts';
import { EmbeddedPostgresError } from './errors.ts';

export const SUPERUSER = 'paddock';
/** What a path of a Unix socket may have at most, in bytes, less than the kernel's 108. */
const MAX_SOCKET_PATH = 100;
const SOCKET_PORT = 5432;

/** The settings of the private database. Durability is PostgreSQL's own: fsync and synchronous_commit stay on. */
const SETTINGS = {
  max_connections: '60',
  shared_buffers: '256MB',
  // Batches of reports make much WAL: fewer checkpoints, compressed full-page images.
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  wal_compression: 'pglz',
  wal_buffers: '16MB',
  checkpoint_timeout: '15min',
  // Short statements on few tables: compiling them costs more than it gives.
  jit: 'off',
  // One row a device is updated all the time.
  autovacuum_naptime: '20s',
  log_line_prefix: '%m [%p] ',
  log_checkpoints: 'off',
  lc_messages: 'C',
  timezone: 'UTC',
} as const satisfies Record<string, string>;

/** initdb's choices: bytewise order, the same on every machine and for ever, whatever libraries it has. */
const INIT_FLAGS = [
  `--username=${SUPERUSER}`,
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale=C',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  '--data-checksums',
];

/** A database directory that is ready to be started. */
export interface Cluster {
  readonly directory: string;
  /** Names the cluster's processes: the same for every start, another for every directory. */
  readonly name: string;
  readonly password: string;
  /** How to start its postmaster at an address. */
  postmaster(address: Address): Launch;
}

/** Where the postmaster listens: on a socket in its own closed directory, or on loopback when that path is too long. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Finds or makes the cluster in `<dataDir>/postgres`. A first start that was killed half-way leaves only a draft,
 * which the next one removes.
 * @throws EmbeddedPostgresError
 */
export async function prepareCluster(dataDir: string, password: string): Promise<Cluster> {
  const [binaries, account, root] = await Promise.all([findBinaries(), databaseAccount(), realpath(dataDir)]);
  if (account) await letPass(root, account);
  const launch = await launcher(account, [root, join(binaries.postgres, '..')]);
  const directory = join(root, 'postgres');
  if (!(await exists(join(directory, 'PG_VERSION')))) {
    await initialise({ root, directory, account, password, launchInit: (args) => launch(binaries.initdb, args) });
  }
  const name = clusterName(directory);
  const postmaster = (address: Address): Launch => launch(binaries.postgres, postmasterFlags(directory, name, address));
  return { directory, name, password, postmaster };
}

/** @param directory of the cluster, absolute, without symbolic links */
export const clusterName = (directory: string): string =>
  `paddock-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`;

export async function chooseAddress(directory: string): Promise<Address> {
  if (Buffer.byteLength(join(directory, `.s.PGSQL.${SOCKET_PORT}.lock`)) <= MAX_SOCKET_PATH)
    return { host: directory, port: SOCKET_PORT };
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return { host: '127.0.0.1', port: address !== null && typeof address === 'object' ? address.port : 0 };
}

export function urlOf({ host, port }: Address, password: string): string {
  const credentials = `${SUPERUSER}:${password}`;
  if (!host.startsWith('/')) return `postgres://${credentials}@${host}:${port}/postgres`;
  return `postgres://${credentials}@localhost:${port}/postgres?host=${encodeURIComponent(host)}`;
}

function postmasterFlags(directory: string, name: string, { host, port }: Address): string[] {
  const local = host.startsWith('/');
  const settings = {
    ...SETTINGS,
    cluster_name: name,
    port: String(port),
    listen_addresses: local ? '' : host,
    // Relative to the cluster's directory, where PostgreSQL works.
    unix_socket_directories: local ? '.' : '',
    unix_socket_permissions: '0700',
  };
  return ['-D', directory, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])];
}

/** The data directory stays closed to others; the database's group may pass through it, and see nothing. */
async function letPass(root: string, account: NonNullable<Account>): Promise<void> {
  await chown(root, 0, account.gid);
  await chmod(root, 0o710);
}

interface Initialisation {
  readonly root: string;
  readonly directory: string;
  readonly account: Account;
  readonly password: string;
  readonly launchInit: (args: readonly string[]) => Launch;
}

async function initialise({ root, directory, account, password, launchInit }: Initialisation): Promise<void> {
  const draft = `${directory}.draft`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  if (account) await chown(draft, account.uid, account.gid);
  // Only the database's user can read it, and only as long as initdb runs.
  const passwordFile = `${draft}-password`;
  await rm(passwordFile, { force: true });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  if (account) await chown(passwordFile, account.uid, account.gid);
  const { file, args, ids } = launchInit([`--pgdata=${draft}`, `--pwfile=${passwordFile}`, ...INIT_FLAGS]);
  const child = spawn(file, args, { ...ids, cwd: '/', env: { LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  await rm(passwordFile);
  if (child.exitCode !== 0) throw new EmbeddedPostgresError('database_init_failed', (errors || output).trim());
  await rename(draft, directory);
  await syncDirectory(root);
}

async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path);
  await handle.sync();
}

const exists = (file: string): Promise<boolean> =>
  readFile(file).then(
    () => true,
    () => false,
  );
