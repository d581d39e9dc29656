import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { approve } from '@paddock/cloud/enrolment/approval.ts';
import { readPending } from '@paddock/cloud/enrolment/pending.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const SERIAL_NUMBER = 'AM-1';
let database: FreshDatabase;
let server: EnrolServer;

beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

/** A human lets it in, who holds on when its row is locked until somebody waits. */
async function approved(key: TestKey, held: () => void): Promise<string> {
  const [fingerprint, now] = [key.verification.thumbprint, wallMs(Date.now())];
  const { etag: seen } = await readPending(database.store, ALL_CUSTOMERS, fingerprint, now);
  return database.store.transaction(async (sql) => {
    const slow: Sql = {
      query: async (text, values) => {
        const rows = await sql.query<never>(text, values);
        if (!text.startsWith('DELETE FROM pending_enrolments')) return rows;
        held();
        while ((await waitingForLocks(database.store)) === 0) await sleep(10);
        return rows;
      },
    };
    return (await approve(slow, ALL_CUSTOMERS, 'test', { fingerprint, seen }, now)).deviceId;
  });
}

test('one that is approved while it comes with a claim does not wait for who waits for it', async () => {
  const { mint } = await addTestBatch(database.store, 'for-the-approved');
  const key = await makeTestKey();
  await server.enrol(key, { serialNumber: SERIAL_NUMBER });
  const holds = Promise.withResolvers<void>();
  const approving = approved(key, holds.resolve);
  await holds.promise;
  const claim = await mintClaim(mint, SERIAL_NUMBER);
  const [deviceId, enrolled] = await Promise.all([approving, server.enrol(key, { claim })]);
  expect(enrolled).toMatchObject({ status: 'accepted', device: deviceId });
});
