import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AwsTransport } from '@paddock/cloud/aws/transport.ts';
import { actAs } from '@paddock/cloud/customers/scope.ts';
import { databaseNow } from '@paddock/cloud/store/database-clock.ts';
import { MOST_A_DAY } from '@paddock/cloud/trust/certificate-bounds.ts';
import { requestFor, startAwsBench, type AwsBench, type Request } from '../../../harness/aws/bench.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let bench: AwsBench;
let http: TestHttp;
let transport: AwsTransport;
let request: Request;
beforeAll(async () => {
  database = await freshDatabase();
  bench = await startAwsBench(database.store);
  http = await startHttp(database.store);
});
beforeEach(async () => {
  bench.fake.reset();
  bench.audit.entries.length = 0;
  // Nothing of an earlier test is to be done any more.
  await database.store.query('DELETE FROM aws_things');
  transport = await bench.service();
  request = await bench.device();
});
afterAll(async () => {
  await http.close();
  await bench.close();
  await database.drop();
});

const post = (path: string, body: object = { reason: 'stolen' }) =>
  http.call('POST', `/api/v1/devices/${request.deviceId}/${path}`, { body });
const listed = async () => (await http.call('GET', `/api/v1/devices/${request.deviceId}/certificates`)).items;
const revokeKey = async () => {
  const keys = await http.call('GET', `/api/v1/devices/${request.deviceId}/keys`);
  return post(`keys/${String(keys.items[0]?.['thumbprint'])}/revoke`);
};
/** One turn of the job, as soon as it comes. */
const turn = async (): Promise<void> => transport.tidy(database.store, await databaseNow(database.store));

describe('an operator who takes back the certificates of a device', () => {
  test('sees them, and has them removed from AWS IoT with the next turn of the job', async () => {
    const { serial } = await transport.certificateFor(request);
    expect(await listed()).toMatchObject([
      { serial, authority: 'aws-iot', keyThumbprint: request.identityThumbprint, revokedAt: null, reason: null },
    ]);
    const answer = await post('certificates/revoke');
    expect(answer.body).toEqual({ deviceId: request.deviceId, revokedCertificates: 1 });
    await turn();
    expect(bench.certificates()).toEqual([]);
    expect(await listed()).toMatchObject([{ serial, revokedAt: expect.any(String), reason: 'stolen' }]);
    expect((await post('certificates/revoke')).body).toMatchObject({ revokedCertificates: 0 });
  });

  test('keeps that TLS key from getting another one; with a new one the device comes back', async () => {
    await transport.certificateFor(request);
    await post('certificates/revoke');
    await expect(transport.check(database.store, request)).rejects.toMatchObject({ code: 'csr_key_revoked' });
    await expect(transport.certificateFor(request)).rejects.toMatchObject({ code: 'csr_key_revoked' });
    const next = requestFor(request.deviceId);
    const { serial } = await transport.certificateFor(next);
    await turn();
    expect(bench.certificates()).toMatchObject([{ status: 'ACTIVE' }]);
    expect(await listed()).toMatchObject([{ serial, revokedAt: null }, { reason: 'stolen' }]);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])('while it is being made, at call %i, ends with none', async (at) => {
    const underWay = Promise.withResolvers<void>();
    const revoked = Promise.withResolvers<void>();
    bench.fake.before = async (number) => {
      if (number !== at) return;
      underWay.resolve();
      await revoked.promise;
    };
    const asking = transport.certificateFor(request).catch((error: unknown) => error);
    await underWay.promise;
    await post('certificates/revoke');
    revoked.resolve();
    const outcome = await asking;
    const [row] = await database.store.query<{ revoked: boolean }>(
      'SELECT revoked_at IS NOT NULL AS revoked FROM aws_issued WHERE device_id = $1',
      [request.deviceId],
    );
    // What was not asked for before it was taken back is another one.
    if (row?.revoked !== true) return expect(outcome).toMatchObject({ serial: expect.any(String) });
    expect(outcome).toMatchObject({ code: 'csr_key_revoked' });
    await bench.tidied(transport);
    expect(bench.certificates()).toEqual([]);
  });

  test('by the identity key that asked for them, leaves those of another key', async () => {
    const { publicJwk, verification } = await makeTestKey();
    await database.store.transaction(async (sql) => {
      await actAs(sql, 'test');
      await sql.query('INSERT INTO device_keys (device_id, thumbprint, key_id, jwk) VALUES ($1, $2, $3, $4)', [
        request.deviceId,
        verification.thumbprint,
        verification.keyId,
        JSON.stringify(publicJwk),
      ]);
    });
    await transport.certificateFor({ ...request, identityThumbprint: verification.thumbprint });
    expect((await revokeKey()).body).toMatchObject({ revokedCertificates: 0 });
    await turn();
    expect(bench.certificates()).toMatchObject([{ status: 'ACTIVE' }]);
    expect((await post(`keys/${verification.thumbprint}/revoke`)).body).toMatchObject({ revokedCertificates: 1 });
    await turn();
    expect(bench.certificates()).toEqual([]);
  });
});

/** As if the database came from a backup that was made before the device had anything in AWS IoT. */
const forgotten = async (): Promise<void> => {
  await database.store.query('DELETE FROM aws_things');
  await database.store.query('DELETE FROM aws_issued');
};

describe('what was issued since the backup that the database is from', () => {
  test.each([
    ['retires it', () => bench.retire(request.deviceId)],
    ['takes back its identity key', revokeKey],
  ])('goes when somebody %s', async (_, act) => {
    await transport.certificateFor(request);
    await forgotten();
    await act();
    await bench.tidied(transport);
    expect(bench.certificates()).toEqual([]);
    bench.fake.calls.length = 0;
    await bench.tidied(transport);
    expect(bench.fake.calls).toEqual([]);
  });

  test('goes when somebody takes back the certificates of a device, and what is on record stays', async () => {
    const other = await bench.device();
    await transport.certificateFor(other);
    await transport.certificateFor(request);
    await database.store.query('DELETE FROM aws_things WHERE device_id = $1', [request.deviceId]);
    await post('certificates/revoke');
    const next = requestFor(request.deviceId);
    await transport.certificateFor(next);
    await bench.tidied(transport);
    const owners = bench.certificates().flatMap(({ things }) => [...things]);
    expect(owners.toSorted()).toEqual([other.deviceId, request.deviceId].toSorted());
  });

  test('and what somebody else attached to the thing of a retired device, does not keep it', async () => {
    await transport.certificateFor(request);
    bench.fake.account.attachIdentity(request.deviceId, 'eu-test-1:an-identity-of-cognito');
    await bench.retire(request.deviceId);
    await bench.tidied(transport);
    expect([...bench.fake.account.things.keys()]).toEqual([]);
  });
});

test('a device gets a bounded number of certificates in a day, those that are gone included', async () => {
  for (let n = 0; n < MOST_A_DAY; n += 1) {
    await transport.certificateFor(requestFor(request.deviceId));
    if (n % 8 === 0) await bench.tidied(transport, 1);
  }
  const one = requestFor(request.deviceId);
  await expect(transport.certificateFor(one)).rejects.toMatchObject({ code: 'certificates_too_many' });
  await expect(transport.check(database.store, one)).rejects.toMatchObject({ code: 'certificates_too_many' });
  expect(bench.fake.calls.filter((call) => call === 'CreateCertificateFromCsr')).toHaveLength(MOST_A_DAY);
  const other = await bench.device();
  await transport.certificateFor(other);
  await database.store.query("UPDATE aws_issued SET asked_at = asked_at - interval '25 hours'");
  await transport.certificateFor(one);
});

test('what AWS refused to make counts for nothing, and what was asked for long ago is forgotten', async () => {
  bench.fake.trouble = (_, action) => (action === 'CreateCertificateFromCsr' ? 'limit' : null);
  await expect(transport.certificateFor(request)).rejects.toMatchObject({ code: 'aws_failed' });
  const asked = () => database.store.query('SELECT FROM aws_issued WHERE device_id = $1', [request.deviceId]);
  expect(await asked()).toEqual([]);
  bench.fake.trouble = () => null;
  await transport.certificateFor(request);
  await transport.certificateFor(requestFor(request.deviceId));
  await bench.tidied(transport);
  expect(await asked()).toHaveLength(2);
  await database.store.query("UPDATE aws_issued SET asked_at = asked_at - interval '31 days'");
  await turn();
  expect(await asked()).toHaveLength(1);
});

test('what the service removes by itself stands in the audit log', async () => {
  await transport.certificateFor(request);
  const id = bench.certificates()[0]?.id;
  await bench.retire(request.deviceId);
  await bench.tidied(transport);
  const own = { actor: 'service', result: 'done', deviceId: request.deviceId };
  expect(bench.audit.entries).toEqual([
    { ...own, action: 'removeCertificate', detail: { certificate: id } },
    { ...own, action: 'removeThing' },
  ]);
});
