import { pino } from 'pino';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { takeTurn } from '@paddock/cloud/instances/elected.ts';
import { CountedMetrics } from './ingest.ts';

/**
 * A process that takes a turn and writes as long as it may, for a test that stops and continues it.
 * Arguments: address of the database, length of the lease in ms. Says `working` when it has written, and why it ended.
 */
const whyOf = (error: unknown): unknown => {
  if (!(error instanceof Error)) return error;
  return 'code' in error ? error.code : error.message;
};

const [, , url = '', leaseMs = ''] = process.argv;
const store = openPostgres({ url, connections: 2 });
const parts = { store, clock: systemClock, metrics: new CountedMetrics(), log: pino({ level: 'silent' }) };
const job = { job: 'test', everyMs: 60_000, retryMs: 60_000, leaseMs: Number(leaseMs) } as const;

await takeTurn(
  { ...parts, instanceId: 'stopped' },
  {
    ...job,
    async work(own) {
      for (let turns = 0; ; turns += 1) {
        await own.transaction(async (sql) => {
          await sql.query(`INSERT INTO written (by) VALUES ('stopped')`);
          await systemClock.sleep(5);
          await sql.query(`INSERT INTO written (by) VALUES ('stopped')`);
        });
        if (turns === 0) console.log('working');
      }
    },
  },
).catch((error: unknown) => console.log(whyOf(error)));
await store.close();
