import { createPrivateKey, createPublicKey } from 'node:crypto';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { registerDevice } from '@paddock/cloud/devices/registry.ts';
import { revokeAllCertificates, revokeIdentityKey } from '@paddock/cloud/enrolment/credentials.ts';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeCsr } from '../../../harness/csr.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

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

let made = 0;
let deviceId: string;
let key: TestKey;
beforeEach(async () => {
  deviceId = `kiosk-tls-${(made += 1)}`;
  key = await makeTestKey();
  await register(deviceId, key);
});

const register = async (id: string, { publicJwk: publicKey }: TestKey): Promise<void> => {
  await database.store.transaction((sql) => registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId: id, publicKey }));
};
const ask = async (csr: string, asking = key): Promise<unknown[]> => {
  const { status, code } = await server.ask(asking, { csr });
  return [status, code];
};
const takeBack = (reason = 'stolen'): Promise<number> =>
  database.store.transaction((sql) => revokeAllCertificates(sql, ALL_CUSTOMERS, 'test', { deviceId, reason }));
/** A certificate request for the identity key of a device. */
function csrOf({ privateJwk }: TestKey): string {
  const privateKey = createPrivateKey({ key: { ...privateJwk }, format: 'jwk' });
  return makeCsr({ privateKey, publicKey: createPublicKey(privateKey) }).csr;
}

const GOOD = [200, undefined];
const REVOKED = [403, 'csr_key_revoked'];

test('a TLS key gets its next certificate as long as nobody took it back', async () => {
  const { csr } = makeCsr();
  expect([await ask(csr), await ask(csr)]).toEqual([GOOD, GOOD]);
});

test('a TLS key that an operator took back gets none, of no device; a new one does', async () => {
  const [stolen, next] = [makeCsr().csr, makeCsr().csr];
  await ask(stolen);
  await takeBack();
  expect(await ask(stolen)).toEqual(REVOKED);
  expect(server.audit.entries.at(-1)).toMatchObject({ action: 'enrol', result: 'refused', code: 'csr_key_revoked' });
  const other = await makeTestKey();
  await register(`${deviceId}-other`, other);
  expect(await ask(stolen, other)).toEqual(REVOKED);
  expect(await ask(next)).toEqual(GOOD);
  expect(await ask(next)).toEqual(GOOD);
});

test('it gets none after its certificates have expired and are forgotten', async () => {
  const { csr } = makeCsr();
  await ask(csr);
  await takeBack();
  await database.store.query('DELETE FROM certificates WHERE device_id = $1', [deviceId]);
  expect(await ask(csr)).toEqual(REVOKED);
});

test('it is taken back with the identity key that asked for it, and with no other', async () => {
  const [before, after] = [makeCsr().csr, makeCsr().csr];
  await ask(before);
  const next = await makeTestKey();
  await database.store.transaction((sql) =>
    revokeIdentityKey(sql, ALL_CUSTOMERS, 'test', {
      deviceId,
      thumbprint: key.verification.thumbprint,
      reason: 'stolen',
    }),
  );
  await register(`${deviceId}-next`, next);
  expect(await ask(before, next)).toEqual(REVOKED);
  expect(await ask(after, next)).toEqual(GOOD);
});

test('of a revocation under way a renewal hears before it is answered', async () => {
  const { csr } = makeCsr();
  await ask(csr);
  const asking = await database.store.transaction(async (sql) => {
    await revokeAllCertificates(sql, ALL_CUSTOMERS, 'test', { deviceId, reason: 'stolen' });
    const answer = ask(csr);
    await expect.poll(waiting, { timeout: 30_000 }).toBe(1);
    return { answer };
  });
  expect(await asking.answer).toEqual(REVOKED);
  const good = await database.store.query('SELECT 1 FROM certificates WHERE device_id = $1 AND revoked_at IS NULL', [
    deviceId,
  ]);
  expect(good).toEqual([]);
});
/** Statements of the service that wait for a lock. */
const waiting = (): Promise<number> => waitingForLocks(database.store);

test('an identity key is no TLS key, whose ever it is', async () => {
  const other = await makeTestKey();
  await register(`${deviceId}-other`, other);
  for (const identity of [key, other]) expect(await ask(csrOf(identity))).toEqual([400, 'csr_key_is_identity']);
  expect(await database.store.query('SELECT 1 FROM certificates WHERE device_id = $1', [deviceId])).toEqual([]);
});
