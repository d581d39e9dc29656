import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { forgetCertificates, MOST_A_DAY } from '@paddock/cloud/trust/certificate-bounds.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { BOTH_BROKERS, startBroker } from '../../../harness/brokers.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../../harness/database.ts';
import { addDevices, TestDevice } from '../../../harness/device.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { startIngest } from '../../../harness/ingest.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const DAY_MS = 86_400_000;

let database: FreshDatabase;
let http: TestHttp;
let enrolment: EnrolServer;
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
  enrolment = await startEnrolment(database.store);
});
afterAll(async () => {
  await enrolment.close();
  await http.close();
  await database.drop();
});

let made = 0;
let deviceId: string;
let key: TestKey;
beforeEach(async () => {
  deviceId = `kiosk-${String((made += 1)).padStart(4, '0')}`;
  key = await makeTestKey();
  await addDevices(database.store, [{ deviceId, key }]);
});

const path = (rest: string, id = deviceId): string => `/api/v1/devices/${id}/${rest}`;
const revoke = (body: object = { reason: 'stolen' }, token?: string) =>
  http.call('POST', path('certificates/revoke'), { body, ...(token !== undefined && { token }) });
const revokeKey = (body: object = { reason: 'stolen' }, thumbprint = key.verification.thumbprint) =>
  http.call('POST', path(`keys/${thumbprint}/revoke`), { body });

describe('certificates of a device', () => {
  test('are listed, taken back together, and stay in the list with the reason', async () => {
    for (let n = 0; n < 2; n += 1) await enrolment.enrol(key);
    const listed = await http.call('GET', path('certificates'));
    expect(listed.items).toHaveLength(2);
    expect(listed.items[0]).toMatchObject({
      serial: expect.stringMatching(/^[0-9a-f]{32}$/),
      authority: enrolment.authority.id.slice(0, 12),
      keyThumbprint: key.verification.thumbprint,
      revokedAt: null,
    });
    expect((await revoke()).body).toEqual({ deviceId, revokedCertificates: 2 });
    expect((await revoke()).body).toEqual({ deviceId, revokedCertificates: 0 });
    const { items } = await http.call('GET', path('certificates'));
    expect(items.map(({ reason, revokedAt }) => [reason, typeof revokedAt])).toEqual([
      ['stolen', 'string'],
      ['stolen', 'string'],
    ]);
    // Its key is as good as ever.
    expect(await enrolment.enrol(key)).toMatchObject({ status: 'accepted' });
  });

  test('are taken back by who stands for it, in the audit log and in the history', async () => {
    await enrolment.enrol(key);
    await revoke();
    const entry = { action: 'revokeCertificates', result: 'done', deviceId };
    expect(http.audit.entries.at(-1)).toMatchObject({ ...entry, actor: expect.stringMatching(/^token:/) });
    const { items } = await http.call('GET', path('certificates'));
    const history = await database.store.query(
      'SELECT actor, request_id IS NOT NULL AS request FROM history WHERE row_id = $1',
      [items[0]?.['serial']],
    );
    expect(history).toEqual([{ actor: expect.stringMatching(/^token:[^ ]+$/), request: true }]);
  });

  test.each([
    [
      'of another customer',
      404,
      'device_unknown',
      async () => revoke({ reason: 'x' }, await http.tokenOf('elsewhere')),
    ],
    ['without a reason', 400, 'request_invalid', () => revoke({})],
    ['with an empty one', 400, 'text_invalid', () => revoke({ reason: ' ' })],
    ['of a device that is none', 404, 'device_unknown', () => http.call('GET', path('certificates', 'kiosk-none'))],
    ['by a key that is none', 404, 'key_unknown', () => revokeKey({ reason: 'x' }, 'A'.repeat(43))],
  ])('are not touched: %s', async (_what, status, code, work) => {
    await enrolment.enrol(key);
    const answer = await work();
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    expect((await http.call('GET', path('certificates'))).items[0]).toMatchObject({ revokedAt: null });
  });

  test('are bounded for each device: who renews in a loop is told to come later', async () => {
    for (let n = 0; n < MOST_A_DAY; n += 1) await enrolment.enrol(key);
    const refused = await enrolment.ask(key);
    expect([refused.status, refused.code]).toEqual([429, 'certificates_too_many']);
    expect(enrolment.audit.refused.at(-1)).toBe('enrol:certificates_too_many');
    const other = await makeTestKey();
    await addDevices(database.store, [{ deviceId: `${deviceId}-b`, key: other }]);
    expect(await enrolment.enrol(other)).toMatchObject({ status: 'accepted' });
    expect((await http.call('GET', path('certificates'))).items).toHaveLength(MOST_A_DAY);
  });

  test('are forgotten long after their end, in bounded steps, all but the newest of each device', async () => {
    for (let n = 0; n < 7; n += 1) await enrolment.enrol(key);
    const now = wallMs(Date.now() + 61 * DAY_MS);
    await database.store.query('UPDATE certificates SET not_after = $2 WHERE device_id = $1', [
      deviceId,
      toInstant(wallMs(now - 31 * DAY_MS)),
    ]);
    const before = wallMs(now - 2 * DAY_MS);
    expect(await forgetCertificates(database.store, before)).toBe(0);
    const left = async (): Promise<number> => (await http.call('GET', path('certificates'))).items.length;
    await forgetCertificates(database.store, now, { rows: 2, steps: 2 });
    expect(await left()).toBeLessThanOrEqual(7);
    while ((await forgetCertificates(database.store, now, { rows: 2, steps: 2 })) > 0);
    expect(await left()).toBe(1);
  });
});

describe('an identity key', () => {
  test('that is taken back gets no certificate, and those that it got are taken back', async () => {
    await enrolment.enrol(key);
    expect((await revokeKey()).body).toEqual({ deviceId, revokedCertificates: 1 });
    const asked = await enrolment.ask(key);
    expect([asked.status, asked.code]).toEqual([403, 'key_revoked']);
    const { items } = await http.call('GET', path('keys'));
    expect(items).toMatchObject([
      { thumbprint: key.verification.thumbprint, reason: 'stolen', revokedAt: expect.any(String) },
    ]);
    expect((await revokeKey({ reason: 'again' })).status).toBe(200);
    expect((await http.call('GET', path('keys'))).items).toEqual(items);
    expect(http.audit.entries.at(-1)).toMatchObject({ action: 'revokeDeviceKey', result: 'done', deviceId });
  });

  test.each(BOTH_BROKERS)(
    'that is taken back is disbelieved at once, in a connection to %s that stands',
    async (name) => {
      const broker = await startBroker(name);
      const cloud = await startIngest(database.store, { on: broker });
      const device = await new TestDevice(deviceId, key, cloud.cloudKey).connect(cloud);
      await device.report();
      const recorded = () => cloud.metrics.of('paddock_reports_recorded_total');
      await expect.poll(recorded, { timeout: 30_000 }).toBe(1);
      await revokeKey();
      const refused = async () => {
        await device.report({ sequence: 1 });
        return cloud.metrics.of('paddock_reports_rejected_total', 'key_revoked');
      };
      await expect.poll(refused, { timeout: 30_000 }).toBeGreaterThan(0);
      await device.close();
      await cloud.close();
      await broker.stop();
    },
  );

  test('that is taken back while its request is under way gets nothing', async () => {
    const lock = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const revoking = database.store.transaction(async (sql) => {
      await sql.query("SELECT set_config('paddock.actor', 'test', true)");
      await sql.query('UPDATE device_keys SET revoked_at = now() WHERE device_id = $1', [deviceId]);
      held.resolve();
      await lock.promise;
    });
    await held.promise;
    const asked = enrolment.ask(key);
    await expect.poll(() => waitingForLocks(database.store)).toBeGreaterThan(0);
    lock.resolve();
    await revoking;
    expect([(await asked).status, (await asked).code]).toEqual([403, 'key_revoked']);
    expect((await http.call('GET', path('certificates'))).items).toEqual([]);
  });
});
