import type { KeyObject } from 'node:crypto';
import { connect } from 'node:tls';
import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { keysOf, registerDevice, retireDevice } from '@paddock/cloud/devices/registry.ts';
import { revokeIdentityKey } from '@paddock/cloud/enrolment/credentials.ts';
import { StoredAdmission } from '@paddock/cloud/trust/admission.ts';
import { pemChain } from '@paddock/cloud/trust/server-certificate.ts';
import type { EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { serverPair } from '../../../harness/authority.ts';
import { makeCsr } from '../../../harness/csr.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { RawClient } from '../../../harness/raw-client.ts';
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
let old: TestKey;
beforeEach(async () => {
  deviceId = `kiosk-turns-${(made += 1)}`;
  old = await makeTestKey();
  const { publicJwk: publicKey } = old;
  await database.store.transaction((sql) => registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, publicKey }));
});

/** A request of a new key that the old one endorses. */
async function endorsed(key: TestKey): Promise<Partial<EnrolmentRequest>> {
  const nonce = await server.nonce();
  const said = { v: 1, device: deviceId, thumbprint: key.verification.thumbprint, nonce };
  return { nonce, endorsement: await seal('endorsement', said, old.signing) };
}
async function turn(key: TestKey): Promise<unknown[]> {
  const { status, code } = await server.ask(key, await endorsed(key));
  return [status, code];
}
const goodKeys = async (): Promise<string[]> =>
  (await keysOf(database.store, ALL_CUSTOMERS, deviceId))
    .filter(({ revokedAt }) => revokedAt === null)
    .map(({ thumbprint }) => thumbprint);
const certificates = () =>
  database.store.query(
    `SELECT identity_thumbprint AS key, reason FROM certificates WHERE device_id = $1 ORDER BY issued_at, reason`,
    [deviceId],
  );
/** Statements of the service that wait for a lock. */
const waiting = (): Promise<number> => waitingForLocks(database.store);

/** Does it while the device's row is locked; `work` begins when so many requests wait for the row. */
async function meanwhile<T>(requests: readonly (() => Promise<T>)[], revokes: boolean): Promise<T[]> {
  const revocation = { deviceId, thumbprint: old.verification.thumbprint, reason: 'stolen' };
  return database.store
    .transaction(async (sql) => {
      if (revokes) await revokeIdentityKey(sql, ALL_CUSTOMERS, 'test', revocation);
      else await sql.query('SELECT 1 FROM devices WHERE device_id = $1 FOR UPDATE', [deviceId]);
      const asking = requests.map((ask) => ask());
      await expect.poll(waiting, { timeout: 30_000 }).toBe(requests.length);
      return asking;
    })
    .then((asking) => Promise.all(asking));
}

describe('a change of keys', () => {
  test('takes back what the old key got, in the moment in which the new one gets its certificate', async () => {
    await server.enrol(old);
    const key = await makeTestKey();
    expect(await turn(key)).toEqual([200, undefined]);
    expect(await certificates()).toEqual([
      { key: old.verification.thumbprint, reason: 'key_replaced' },
      { key: key.verification.thumbprint, reason: null },
    ]);
    // It takes its TLS key along.
    const { csr } = makeCsr();
    expect((await server.enrol(key, { csr })).status).toBe('accepted');
    const next = await makeTestKey();
    old = key;
    expect((await server.enrol(next, { ...(await endorsed(next)), csr })).status).toBe('accepted');
  });

  test('ends the live connection that stands by the old certificate', async () => {
    const { csr, privateKey } = makeCsr();
    const enrolled = await server.enrol(old, { csr });
    const broker = await startBroker();
    const client = await broker.come(enrolled.certificate?.chain ?? [], privateKey);
    await turn(await makeTestKey());
    await client.closed;
    expect(broker.refused).toEqual(['certificate_revoked']);
    await broker.close();
  });

  test('that cannot be answered with a certificate changes nothing', async () => {
    await server.enrol(old);
    const key = await makeTestKey();
    const refused = await server.ask(key, { ...(await endorsed(key)), csr: 'A'.repeat(200) });
    expect([refused.status, refused.code]).toEqual([400, 'csr_malformed']);
    expect(await goodKeys()).toEqual([old.verification.thumbprint]);
    expect(await certificates()).toEqual([{ key: old.verification.thumbprint, reason: null }]);
  });

  test('is refused by a key that was taken back', async () => {
    const key = await makeTestKey();
    const request = await endorsed(key);
    const revocation = { deviceId, thumbprint: old.verification.thumbprint, reason: 'stolen' };
    await database.store.transaction((sql) => revokeIdentityKey(sql, ALL_CUSTOMERS, 'test', revocation));
    const { status, code } = await server.ask(key, request);
    expect([status, code]).toEqual([403, 'key_revoked']);
    expect(await goodKeys()).toEqual([]);
  });

  test('is refused by a key that gave its place away before', async () => {
    const [first, second] = [await makeTestKey(), await makeTestKey()];
    expect(await turn(first)).toEqual([200, undefined]);
    expect(await turn(second)).toEqual([403, 'key_revoked']);
    expect(await goodKeys()).toEqual([first.verification.thumbprint]);
  });

  test('of a retired device is answered, signed, that it is retired', async () => {
    await database.store.transaction((sql) =>
      retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, expectedVersion: null }),
    );
    const key = await makeTestKey();
    const told = await server.enrol(key, await endorsed(key));
    expect(told).toMatchObject({ status: 'retired', device: deviceId });
    expect(told.certificate).toBeUndefined();
    expect(await goodKeys()).toEqual([old.verification.thumbprint]);
  });

  test('loses against an operator who takes the old key back meanwhile', async () => {
    const key = await makeTestKey();
    expect(await meanwhile([() => turn(key)], true)).toEqual([[403, 'key_revoked']]);
    expect(await goodKeys()).toEqual([]);
    expect(await certificates()).toEqual([]);
  });

  test('happens once when two keys come at once by the endorsement of one', async () => {
    const keys = [await makeTestKey(), await makeTestKey()];
    const answers = await meanwhile(
      keys.map((key) => () => turn(key)),
      false,
    );
    expect(answers.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual([
      [200, undefined],
      [403, 'key_revoked'],
    ]);
    const winner = keys[answers.findIndex(([status]) => status === 200)];
    expect(await goodKeys()).toEqual([winner?.verification.thumbprint]);
  });
});

/** The broker that devices report to, which believes the certificates of this enrolment. */
async function startBroker() {
  const { authority } = server;
  const admission = new StoredAdmission({
    sql: database.store,
    clock: systemClock,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const unlisten = await database.store.listen('paddock_devices', (id) => admission.changed(id));
  const identity = await serverPair(authority);
  const tls = { host: '127.0.0.1', port: 0, identity, authorityPem: authority.certificatePem };
  const broker = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock: systemClock, tls, admission });
  const refused: string[] = [];
  await broker.open({
    message: async () => undefined,
    foreign: () => undefined,
    oversized: () => undefined,
    refusedConnection: (code) => refused.push(code),
    reachable: () => undefined,
  });
  return {
    refused,
    async come(chain: readonly string[], privateKey: KeyObject): Promise<RawClient> {
      const cert = pemChain(chain.map((der) => Buffer.from(der, 'base64url')));
      const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
      const ca = authority.certificatePem;
      const client = new RawClient(connect({ port: broker.tlsPort, host: '127.0.0.1', ca, key, cert }));
      await client.hello(deviceId);
      expect(await client.next('connack')).toMatchObject({ returnCode: 0 });
      return client;
    },
    async close(): Promise<void> {
      await broker.close();
      await unlisten();
    },
  };
}
