import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '@paddock/cloud/adapters/embedded-postgres.ts';
import { readMigrations } from '@paddock/cloud/adapters/migration-files.ts';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import type { Sql, Store } from '@paddock/cloud/ports.ts';
import { migrate } from '@paddock/cloud/store/migrate.ts';
import { keepPartitions } from '@paddock/cloud/store/partitions.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { variableOf } from './database-servers.ts';

/** A PostgreSQL that tests make their databases in. */
export interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

export interface FreshDatabase {
  readonly url: string;
  readonly store: Store;
  /** Closes the store and drops the database; the last one of a file stops the server. */
  drop(): Promise<void>;
}

/** An embedded PostgreSQL in a directory of its own, both gone after `stop`. */
export async function startServer(): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'paddock-database-'));
  const server = await startEmbeddedPostgres({ dataDir, password: randomBytes(32).toString('base64url') });
  const stop = async (): Promise<void> => {
    await server.stop();
    await rm(dataDir, { recursive: true });
  };
  return { url: server.url, stop };
}

/** A database of a worker's server that has every migration, and that nobody else is connected to: to be copied. */
const MIGRATED = 'paddock_migrated';

interface Share {
  readonly server: Promise<Server>;
  /** Where {@link MIGRATED} is there to be copied. */
  readonly hasMigrated: boolean;
  users: number;
}
let shared: Share | undefined;

/**
 * One server for all databases of a test file: the one that PADDOCK_TEST_DATABASE_URL names, else the worker's, else its
 * own.
 */
function shareServer(): Share {
  shared ??= newShare();
  shared.users += 1;
  return shared;
}

function newShare(): Share {
  const named = process.env['PADDOCK_TEST_DATABASE_URL'];
  const url = named ?? process.env[variableOf(process.env['VITEST_POOL_ID'] ?? '')];
  if (url === undefined) return { server: startServer(), hasMigrated: false, users: 0 };
  return { server: Promise.resolve({ url, stop: async () => undefined }), hasMigrated: named === undefined, users: 0 };
}

/**
 * A database that nobody else uses, migrated, with partitions around now.
 * @param given a server; by default one that is shared by the file's databases
 */
export async function freshDatabase(given?: Server, options = { migrated: true }): Promise<FreshDatabase> {
  const share = given ? { server: Promise.resolve(given), hasMigrated: false, users: Infinity } : shareServer();
  const server = await share.server;
  const name = `test_${randomBytes(6).toString('hex')}`;
  const isCopied = options.migrated && share.hasMigrated;
  await administer(server, `CREATE DATABASE ${name} ${isCopied ? `TEMPLATE ${MIGRATED}` : ''}`);
  const url = withDatabase(server.url, name);
  const store = openPostgres({ url, connections: 4 });
  if (options.migrated) {
    if (!isCopied) await migrate(store, await readMigrations());
    await keepPartitions(store, wallMs(Date.now()), { retentionDays: 0, aheadDays: 1 });
  }
  const drop = async (): Promise<void> => {
    await store.close();
    await administer(server, `DROP DATABASE ${name} WITH (FORCE)`);
    if ((share.users -= 1) > 0) return;
    shared = undefined;
    await server.stop();
  };
  return { url, store, drop };
}

/** Makes {@link MIGRATED} on a server. */
export async function makeMigrated(server: Server): Promise<void> {
  await administer(server, `CREATE DATABASE ${MIGRATED}`);
  const store = openPostgres({ url: withDatabase(server.url, MIGRATED), connections: 1 });
  await migrate(store, await readMigrations());
  await store.close();
}

export async function administer(server: Server, statement: string): Promise<void> {
  const store = openPostgres({ url: server.url, connections: 1 });
  try {
    await store.query(statement);
  } finally {
    await store.close();
  }
}

/** How many statements wait in a database for a lock that somebody else has. */
export async function waitingForLocks(sql: Sql): Promise<number> {
  const rows = await sql.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

function withDatabase(url: string, name: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${name}`;
  return parsed.href;
}
