import { startEmbeddedPostgres } from '@paddock/cloud/adapters/embedded-postgres.ts';

/** A process that owns an embedded PostgreSQL: says how it went in one line of JSON, and ends it on SIGTERM. */
const [dataDir = '', password = ''] = process.argv.slice(2);
try {
  const database = await startEmbeddedPostgres({ dataDir, password });
  process.once('SIGTERM', () => void database.stop());
  console.log(JSON.stringify({ url: database.url, pid: database.pid() }));
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  console.log(JSON.stringify({ code, message }));
  process.exitCode = 1;
}
