import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { fenced, takeLease, type Lease } from '@paddock/cloud/instances/lease.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';

const LEASE_MS = 1_000;
const HOLDER = fileURLToPath(new URL('../../../harness/lease-holder.ts', import.meta.url));

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  await database.store.query('CREATE TABLE written (n serial, by text NOT NULL)');
});
afterAll(() => database.drop());

async function heirOf(): Promise<Lease> {
  for (;;) {
    const { lease } = await takeLease(database.store, { job: 'test', everyMs: 60_000, leaseMs: LEASE_MS }, 'heir');
    if (lease !== null) return lease;
    await sleep(10);
  }
}

// At every moment of its work: between two transactions, within one, while one commits.
test.each(Array.from({ length: 8 }, (_, n) => n * 3))(
  'a holder that is stopped %i ms into its work for longer than its lease writes nothing when it goes on',
  async (delayMs) => {
    await database.store.query('TRUNCATE leases, written RESTART IDENTITY');
    await database.store.query(`INSERT INTO leases (job) VALUES ('test')`);
    const holder = spawn(process.execPath, [HOLDER, database.url, String(LEASE_MS)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void holder.kill('SIGKILL'));
    const ended = once(holder, 'exit');
    const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('working');
    await sleep(delayMs);
    holder.kill('SIGSTOP');
    const heir = fenced(database.store, await heirOf());
    await heir.query(`INSERT INTO written (by) VALUES ('heir')`);
    holder.kill('SIGCONT');
    // Its lease is another's by now, or the database has ended the transaction in which it stood still, and with it
    // the connection: what that looks like depends on what it was doing.
    expect((await lines.next()).value).toMatch(/^(lease_lost|25P03|EPIPE|ECONNRESET|.*connection.*)$/i);
    await ended;
    const [count] = await database.store.query<{ before: number; after: number }>(
      `SELECT count(*) FILTER (WHERE n < heir) AS before, count(*) FILTER (WHERE n > heir) AS after
       FROM written, (SELECT n AS heir FROM written WHERE by = 'heir') AS h WHERE by = 'stopped'`,
    );
    expect(count?.before).toBeGreaterThan(0);
    expect(count?.before ?? 1).toSatisfy((n: number) => n % 2 === 0);
    expect(count?.after).toBe(0);
  },
);
