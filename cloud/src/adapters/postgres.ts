import pg from 'pg';
import type { Bulk, Sql, Store } from '../ports.ts';
import { CopyIn, CopyOut } from './postgres-copy.ts';
import { PostgresListener, type ListenerLog } from './postgres-listener.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`; a socket's directory as `?host=`. */
  readonly url: string;
  /** Connections of the pool; listening takes one more. */
  readonly connections?: number;
  /** A statement that takes longer is cancelled. */
  readonly statementTimeoutMs?: number;
  readonly log?: ListenerLog;
}

/** How much later than the server itself would have ended a statement we give its connection up. */
const SILENT_AFTER_MS = 5_000;
const OID = { int8: 20, int8Array: 1016 } as const;

/**
 * PostgreSQL 15 or newer, by address. Connects when first asked, so that opening never fails.
 * Values: a Date is a timestamptz, an array is a PostgreSQL array, jsonb wants `JSON.stringify`.
 */
export function openPostgres(options: PostgresOptions): Store {
  const config = clientConfig(options);
  const pool = new pg.Pool({ ...config, max: options.connections ?? 8, idleTimeoutMillis: 30_000, pipeline: true });
  // An idle connection that breaks is replaced by the pool; without this handler it would end the process.
  pool.on('error', (error) => options.log?.('an idle database connection broke', error));
  const listener = new PostgresListener(() => new pg.Client(config), options.log);
  return {
    query: async <Row extends object>(text: string, values?: readonly unknown[]) => rowsOf<Row>(pool, text, values),
    transaction: (work) => inTransaction(pool, work),
    listen: (channel, handler, missed) => listener.listen(channel, { handler, missed }),
    close: async () => {
      await listener.close();
      await pool.end();
    },
  };
}

/** One connection without time limits: a statement may take as long as its table is large. */
export async function openBulk(url: string): Promise<Bulk> {
  const config = clientConfig({ url, statementTimeoutMs: 0 });
  const client = new pg.Client({ ...config, query_timeout: 0, idle_in_transaction_session_timeout: 0 });
  // A connection that breaks fails the statement under way, or the next one.
  client.on('error', () => undefined);
  await client.connect();
  return {
    query: async <Row extends object>(text: string, values?: readonly unknown[]) =>
      (await (values ? client.query<Row>(text, [...values]) : client.query<Row>(text))).rows,
    copyOut: (statement) => client.query(new CopyOut(statement)).pieces(),
    copyIn: (statement, data) => client.query(new CopyIn(statement, data)).done,
    close: () => client.end(),
  };
}

function clientConfig(options: PostgresOptions): pg.ClientConfig {
  const statementTimeoutMs = options.statementTimeoutMs ?? 60_000;
  return {
    connectionString: options.url,
    application_name: 'paddock',
    types: { getTypeParser },
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    // A server that lost its power cancels nothing and resets nothing: the kernel would wait for it for a quarter of an hour.
    query_timeout: statementTimeoutMs + SILENT_AFTER_MS,
    idle_in_transaction_session_timeout: 60_000,
  };
}

/** Parsers for these connections only: the library's global table stays as it is. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): (text: string) => unknown {
  if (oid === OID.int8) return toSafeInteger;
  const parse = pg.types.getTypeParser(oid, format ?? 'text') as (text: string) => unknown;
  if (oid === OID.int8Array) return (text) => integersOf(parse(text));
  return parse;
}

function integersOf(list: unknown): unknown {
  if (Array.isArray(list)) return list.map(integersOf);
  return typeof list === 'string' ? toSafeInteger(list) : list;
}

function toSafeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} does not fit a JavaScript integer`);
  return value;
}

async function rowsOf<Row extends object>(
  runner: pg.Pool | pg.PoolClient,
  text: string,
  values: readonly unknown[] | undefined,
): Promise<Row[]> {
  const result = values ? await runner.query<Row>(text, [...values]) : await runner.query<Row>(text);
  return result.rows;
}

async function inTransaction<T>(pool: pg.Pool, work: (sql: Sql) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error): void => void (broken = error);
  client.on('error', onError);
  const sql: Sql = { query: (text, values) => heeded(rowsOf(client, text, values)) };
  try {
    await client.query('BEGIN');
    const result = await work(sql);
    await commit(client);
    return result;
  } catch (error) {
    // A connection that cannot even roll back is thrown away; the server ends its transaction by itself.
    await client.query('ROLLBACK').catch((failure: Error) => (broken ??= failure));
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** A failure that the work no longer waits for, because another came first, is not lost: the COMMIT shows it. */
function heeded<T>(query: Promise<T>): Promise<T> {
  query.catch(() => undefined);
  return query;
}

/** A transaction in which a statement failed answers COMMIT with ROLLBACK, and no error: work that hid the failure. */
async function commit(client: pg.PoolClient): Promise<void> {
  const { command } = await client.query('COMMIT');
  if (command !== 'COMMIT') throw new Error('The transaction was rolled back: one of its statements had failed');
}
