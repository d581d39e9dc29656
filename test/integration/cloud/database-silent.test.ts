import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import { failureOf } from '@paddock/cloud/ingest/failure.ts';
import type { Store } from '@paddock/cloud/ports.ts';
import { ownDatabase, type ChaosDatabase } from '../../chaos/database.ts';
import { startTcpRelay, type TcpRelay } from '../../harness/tcp-relay.ts';

let database: ChaosDatabase;
let network: TcpRelay;
let store: Store;

beforeAll(async () => {
  database = await ownDatabase();
  const { given } = database;
  if (given === null) throw new Error('It is given by address');
  network = await startTcpRelay(given.target);
  store = openPostgres({ url: given.urlAt(network.port), connections: 1, statementTimeoutMs: 200 });
});
afterAll(async () => {
  network.flow();
  await store.close();
  await network.close();
  await database.stop();
});

it(
  'gives up a connection that carries nothing any more, in a transaction too, and makes another',
  { timeout: 60_000 },
  async () => {
    const one = () => store.query<{ one: number }>('SELECT 1 AS one');
    const together = () => store.transaction((sql) => sql.query<{ one: number }>('SELECT 1 AS one'));
    for (const ask of [one, together]) {
      expect(await ask()).toEqual([{ one: 1 }]);
      network.stall();
      const failure: unknown = await ask().catch((cause: unknown) => cause);
      expect(failure).toBeInstanceOf(Error);
      expect(failureOf(failure)).toBe('passing');
      network.cut();
      network.flow();
      expect(await ask()).toEqual([{ one: 1 }]);
    }
  },
);
