import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { keysOf, registerDevice, retireDevice } from '@paddock/cloud/devices/registry.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { startHttp, type Answered, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let server: EnrolServer;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
  http = await startHttp(database.store);
});
afterAll(async () => {
  await server.close();
  await http.close();
  await database.drop();
});

let made = 0;
let serialNumber: string;
let victim: string;
let stranger: TestKey;
beforeEach(async () => {
  serialNumber = `VICTIM-${(made += 1)}`;
  victim = `kiosk-victim-${made}`;
  stranger = await makeTestKey();
});

const register = async (deviceId = victim): Promise<void> => {
  const { publicJwk: publicKey } = await makeTestKey();
  await database.store.transaction((sql) =>
    registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, serialNumber, publicKey }),
  );
};
const path = (): string => `/api/v1/pending/${stranger.verification.thumbprint}`;
const look = async (): Promise<Answered> => http.call('GET', path());
const approve = (seen: Answered, body: object = {}): Promise<Answered> =>
  http.call('POST', `${path()}/approve`, { body, headers: { 'if-match': seen.headers.get('etag') ?? '' } });
const goodKeys = async (): Promise<number> =>
  (await keysOf(database.store, ALL_CUSTOMERS, victim)).filter(({ revokedAt }) => revokedAt === null).length;
const whyNot = ({ status, body }: Answered): unknown[] => [status, body['code']];

describe('an approval is of what was looked at', () => {
  test('a stranger that says after the look to be another device takes nothing over', async () => {
    await register();
    await server.enrol(stranger, { serialNumber: 'INNOCENT-1' });
    const seen = await look();
    expect(seen.body).toMatchObject({ reason: 'stranger', deviceId: null });
    await server.enrol(stranger, { serialNumber });
    expect(whyNot(await approve(seen))).toEqual([412, 'pending_changed']);
    expect(whyNot(await approve(seen, { deviceId: null }))).toEqual([412, 'pending_changed']);
    const [key] = await keysOf(database.store, ALL_CUSTOMERS, victim);
    expect([await goodKeys(), key?.revokedAt]).toEqual([1, null]);
  });

  test('a device that is registered after the look, with its serial number, keeps its key', async () => {
    await server.enrol(stranger, { serialNumber });
    const seen = await look();
    await register();
    expect(whyNot(await approve(seen, { deviceId: null }))).toEqual([412, 'pending_changed']);
    const again = await look();
    expect(again.body).toMatchObject({ reason: 'serial_number_known', deviceId: victim });
    expect(whyNot(await approve(again))).toEqual([409, 'device_ambiguous']);
    expect(await goodKeys()).toBe(1);
    expect((await approve(again, { deviceId: null })).body['deviceId']).not.toBe(victim);
    expect(await goodKeys()).toBe(1);
  });

  test('a device that is retired after the look is none that it comes back as', async () => {
    await register();
    await server.enrol(stranger, { serialNumber });
    const seen = await look();
    await database.store.transaction((sql) =>
      retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId: victim, expectedVersion: null }),
    );
    expect(whyNot(await approve(seen, { deviceId: victim }))).toEqual([412, 'pending_changed']);
    expect((await look()).body).toMatchObject({ reason: 'stranger', deviceId: null });
  });

  test.each([
    ['its serial number', { serialNumber: 'OTHER-1' }],
    ['its model', { model: 'another' }],
    ['its facts', { facts: { board: 'another' } }],
  ])('and is none of %s that changed since', async (_, change) => {
    const said = { serialNumber, model: 'a-model', facts: { board: 'a board', macs: '02:00:00:00:00:01' } };
    await server.enrol(stranger, said);
    const seen = await look();
    await server.enrol(stranger, { ...said, ...change });
    expect(whyNot(await approve(seen))).toEqual([412, 'pending_changed']);
    expect((await approve(await look())).status).toBe(200);
  });

  test('however often it asked the same since', async () => {
    const facts = { board: 'a board', macs: '02:00:00:00:00:01' };
    await server.enrol(stranger, { serialNumber, facts });
    const seen = await look();
    await server.enrol(stranger, { serialNumber, facts: { macs: facts.macs, board: facts.board } });
    expect((await approve(seen)).status).toBe(200);
  });

  test('names what that was, by the tag of the list or of the device', async () => {
    await server.enrol(stranger, { serialNumber });
    const { items } = await http.call('GET', '/api/v1/pending?limit=500');
    const listed = items.find(({ fingerprint }) => fingerprint === stranger.verification.thumbprint);
    expect(listed?.['etag']).toBe((await look()).headers.get('etag'));
    expect(whyNot(await http.call('POST', `${path()}/approve`, { body: {} }))).toEqual([428, 'precondition_required']);
    for (const tag of ['*', `W/${String(listed?.['etag'])}`, '""'])
      expect(whyNot(await http.call('POST', `${path()}/approve`, { body: {}, headers: { 'if-match': tag } }))).toEqual([
        412,
        'pending_changed',
      ]);
  });
});
