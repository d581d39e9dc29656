import { administer, makeMigrated, startServer } from './database.ts';

/** A process that owns the PostgreSQL of many test files: prints its address, and ends when nobody holds its input any more. */
const server = await startServer();
try {
  // What a process has written outlives that process without a sync, too, and no test switches this machine off.
  for (const setting of ['fsync', 'full_page_writes']) await administer(server, `ALTER SYSTEM SET ${setting} = off`);
  await administer(server, 'SELECT pg_reload_conf()');
  await makeMigrated(server);
  console.log(server.url);
  for await (const _ of process.stdin);
} finally {
  await server.stop();
}
