import { createCustomer } from '@paddock/cloud/customers/customers.ts';
import { actAs, ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { keysOf, readDevice, registerDevice, retireDevice } from '@paddock/cloud/devices/registry.ts';
import { reject as rejectInside } from '@paddock/cloud/enrolment/approval.ts';
import { forgetPending } from '@paddock/cloud/enrolment/pending.ts';
import { WAITING_LIMITS } from '@paddock/cloud/enrolment/waiting.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CloudClock } from '../../../harness/cloud-clock.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
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

const fingerprintOf = (key: TestKey): string => key.verification.thumbprint;
const pendingOf = async (key: TestKey, token?: string) =>
  (await http.call('GET', '/api/v1/pending?limit=500', token === undefined ? {} : { token })).items.find(
    ({ fingerprint }) => fingerprint === fingerprintOf(key),
  );
const pathOf = (key: TestKey): string => `/api/v1/pending/${fingerprintOf(key)}`;
/** As a human does it who looks first. */
async function approve(key: TestKey, body: object = {}, token = http.operator) {
  const seen = (await http.call('GET', pathOf(key), { token })).headers.get('etag') ?? '"nothing"';
  return http.call('POST', `${pathOf(key)}/approve`, { body, token, headers: { 'if-match': seen } });
}
const reject = (key: TestKey) => http.call('POST', `${pathOf(key)}/reject`);
const certificatesOf = (deviceId: string) =>
  database.store.query('SELECT revoked_at, reason FROM certificates WHERE device_id = $1 ORDER BY issued_at', [
    deviceId,
  ]);

describe('a stranger', () => {
  test('waits, with what it says of itself, until somebody lets it in', async () => {
    const key = await makeTestKey();
    const said = {
      serialNumber: 'ST-1',
      model: 'unheard-of',
      facts: { board: 'Raspberry Pi 4', macs: 'dc:a6:32:00:00:01' },
    };
    expect(await server.enrol(key, said)).toMatchObject({ status: 'pending', retryAfterSeconds: 30 });
    await server.enrol(key, said);
    expect(await pendingOf(key)).toMatchObject({
      ...said,
      address: '127.0.0.1',
      status: 'pending',
      asked: 2,
      reason: 'stranger',
      deviceId: null,
    });
    const approved = await approve(key, { name: 'Main hall' });
    expect([approved.status, approved.body['serialNumber'], approved.body['name']]).toEqual([200, 'ST-1', 'Main hall']);
    expect(await pendingOf(key)).toBeUndefined();
    const enrolled = await server.enrol(key, said);
    expect(enrolled).toMatchObject({ status: 'accepted', device: approved.body['deviceId'] });
    expect(enrolled.device).toMatch(/^kiosk-[a-z2-7]{8}$/);
  });

  test('that is rejected is told so, and may be let in all the same', async () => {
    const key = await makeTestKey();
    await server.enrol(key);
    expect((await reject(key)).body['status']).toBe('rejected');
    expect(await server.enrol(key)).toMatchObject({ status: 'rejected', retryAfterSeconds: 3_600 });
    expect(server.audit.entries.at(-1)).toMatchObject({
      actor: 'unknown',
      action: 'enrol',
      result: 'refused',
      code: 'enrolment_rejected',
      detail: { fingerprint: fingerprintOf(key) },
    });
    expect((await approve(key)).status).toBe(200);
    expect((await server.enrol(key)).status).toBe('accepted');
  });

  test('is nobody’s: a token of one customer neither sees it nor lets it in', async () => {
    const key = await makeTestKey();
    await server.enrol(key);
    const token = await http.tokenOf('narrow');
    expect(await pendingOf(key, token)).toBeUndefined();
    const tried = await approve(key, {}, token);
    expect([tried.status, tried.body['code']]).toEqual([404, 'pending_unknown']);
  });

  describe('that waits for days', () => {
    const pauseMs = WAITING_LIMITS.lifeMs - 3_600_000;
    let clock: CloudClock;
    let aging: EnrolServer;
    beforeEach(async () => {
      clock = new CloudClock(Date.now());
      aging = await startEnrolment(database.store, {}, clock);
    });
    afterEach(() => aging.close());
    const forget = async (key: TestKey): Promise<boolean> => {
      await forgetPending(database.store, clock.wall());
      const [left] = await database.store.query('SELECT 1 FROM pending_enrolments WHERE thumbprint = $1', [
        fingerprintOf(key),
      ]);
      return left === undefined;
    };

    test('is kept as long as it asks, and forgotten when it stays silent', async () => {
      const [asking, silent] = [await makeTestKey(), await makeTestKey()];
      await aging.enrol(asking);
      await aging.enrol(silent);
      clock.advance(pauseMs);
      await aging.enrol(asking);
      expect([await forget(asking), await forget(silent)]).toEqual([false, false]);
      clock.advance(pauseMs);
      expect([await forget(asking), await forget(silent)]).toEqual([false, true]);
      clock.advance(pauseMs);
      expect(await forget(asking)).toBe(true);
    });

    test('stays rejected as long as it asks', async () => {
      const key = await makeTestKey();
      await aging.enrol(key);
      await reject(key);
      for (let turn = 0; turn < 3; turn += 1) {
        clock.advance(pauseMs);
        expect((await aging.enrol(key)).status).toBe('rejected');
        expect(await forget(key)).toBe(false);
      }
    });
  });

  test('that is rejected brings neither a claim nor the factory’s list against it', async () => {
    const key = await makeTestKey();
    const { mint } = await addTestBatch(database.store, 'for-the-rejected');
    await server.enrol(key, { serialNumber: 'RJ-1' });
    await reject(key);
    const claim = await mintClaim(mint, 'RJ-1');
    expect((await server.enrol(key, { serialNumber: 'RJ-1', claim })).status).toBe('rejected');
    await database.store.transaction(async (sql) => {
      await actAs(sql, 'test');
      await sql.query(
        `INSERT INTO factory_list (thumbprint, customer_id, serial_number) VALUES ($1, 'default', 'RJ-1')`,
        [fingerprintOf(key)],
      );
    });
    expect((await server.enrol(key, { serialNumber: 'RJ-1' })).status).toBe('rejected');
    expect((await http.call('DELETE', pathOf(key))).body['status']).toBe('rejected');
    expect((await server.enrol(key, { serialNumber: 'RJ-1', claim })).status).toBe('accepted');
  });

  test('whose claim is on its way while a human says no is rejected', async () => {
    const key = await makeTestKey();
    const { mint } = await addTestBatch(database.store, 'for-the-hasty');
    await server.enrol(key, { serialNumber: 'RJ-2' });
    const claim = await mintClaim(mint, 'RJ-2');
    const { answer } = await database.store.transaction(async (sql) => {
      await rejectInside(sql, ALL_CUSTOMERS, fingerprintOf(key), wallMs(Date.now()));
      const asking = server.enrol(key, { serialNumber: 'RJ-2', claim });
      await expect.poll(waiting, { timeout: 30_000 }).toBe(1);
      return { answer: asking };
    });
    expect((await answer).status).toBe('rejected');
  });
});
/** Statements of the service that wait for a lock. */
const waiting = (): Promise<number> => waitingForLocks(database.store);

describe('strangers are limited', () => {
  test('by address and in all, but not those who wait already', async () => {
    const fresh = await freshDatabase();
    const limits = (perAddress: number, inAll: number) => ({ waitingLimits: { perAddress, inAll, lifeMs: 60_000 } });
    const [few, none] = [
      await startEnrolment(fresh.store, limits(2, 100)),
      await startEnrolment(fresh.store, limits(100, 2)),
    ];
    const keys = await Promise.all(Array.from({ length: 6 }, () => makeTestKey()));
    const answers = await Promise.all(keys.map((key) => few.ask(key)));
    expect(answers.filter(({ code }) => code === 'pending_too_many')).toHaveLength(4);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(2);
    expect((await none.ask(await makeTestKey())).status).toBe(429);
    const waiting = keys[answers.findIndex(({ status }) => status === 200)] ?? keys[0];
    expect(waiting && (await few.enrol(waiting)).status).toBe('pending');
    await few.close();
    await none.close();
    await fresh.drop();
  });
});

describe('nonces', () => {
  test('are good once, for minutes, and only when they were given out', async () => {
    const key = await makeTestKey();
    const nonce = await server.nonce();
    expect((await server.ask(key, { nonce })).status).toBe(200);
    const replayed = await server.ask(key, { nonce });
    expect([replayed.status, replayed.code]).toEqual([409, 'nonce_unknown']);
    expect((await server.ask(key, { nonce: 'AAAAAAAAAAAAAAAAAAAAAA' })).code).toBe('nonce_unknown');
    const clock = new CloudClock(Date.now());
    const aging = await startEnrolment(database.store, {}, clock);
    const old = await aging.nonce();
    clock.advance(300_000);
    expect((await aging.ask(key, { nonce: old })).code).toBe('nonce_unknown');
    await aging.close();
  });

  test('that one instance gave out are known to another', async () => {
    const second = await startEnrolment(database.store);
    expect((await second.ask(await makeTestKey(), { nonce: await server.nonce() })).status).toBe(200);
    await second.close();
  });

  test('are limited by address, and given out again the next minute', async () => {
    const fresh = await freshDatabase();
    const clock = new CloudClock(1_800_000_000_000);
    const narrow = await startEnrolment(
      fresh.store,
      { nonceLimits: { lifeMs: 60_000, perAddress: 2, inAll: 3 } },
      clock,
    );
    const ask = async () => (await narrow.call('POST', '/enrol/v1/nonces')).code;
    expect([await ask(), await ask(), await ask()]).toEqual([undefined, undefined, 'nonces_too_many']);
    clock.advance(60_000);
    expect(await ask()).toBeUndefined();
    await narrow.close();
    await fresh.drop();
  });
});

describe('a device that comes back', () => {
  const registered = async (deviceId: string, serialNumber: string, customerId = 'default'): Promise<TestKey> => {
    const key = await makeTestKey();
    const device = { deviceId, serialNumber, customerId, publicKey: key.publicJwk };
    await database.store.transaction((sql) => registerDevice(sql, ALL_CUSTOMERS, 'test', device));
    return key;
  };

  test('with a new key keeps its id; the old key and its certificates are good no more', async () => {
    const old = await registered('kiosk-back', 'BK-1');
    await server.enrol(old);
    const key = await makeTestKey();
    expect((await server.enrol(key, { serialNumber: 'BK-1' })).status).toBe('pending');
    expect(await pendingOf(key)).toMatchObject({ reason: 'serial_number_known', deviceId: 'kiosk-back' });
    expect((await approve(key, { deviceId: 'kiosk-back' })).body['deviceId']).toBe('kiosk-back');
    expect(await certificatesOf('kiosk-back')).toMatchObject([{ reason: 'key_replaced' }]);
    const enrolled = await server.enrol(key, { device: 'kiosk-back' });
    expect(enrolled).toMatchObject({ status: 'accepted', device: 'kiosk-back' });
    expect((await certificatesOf('kiosk-back')).at(-1)).toMatchObject({ revoked_at: null });
    const refused = await server.ask(old);
    expect([refused.status, refused.code]).toEqual([403, 'key_revoked']);
    // Whoever has the old key proved that, and the device is its own whatever the request says.
    expect(server.audit.entries.at(-1)).toMatchObject({
      actor: 'device:kiosk-back',
      action: 'enrol',
      result: 'refused',
      code: 'key_revoked',
      deviceId: 'kiosk-back',
    });
    const keys = await keysOf(database.store, ALL_CUSTOMERS, 'kiosk-back');
    expect(keys.filter(({ revokedAt }) => revokedAt === null).map(({ thumbprint }) => thumbprint)).toEqual([
      fingerprintOf(key),
    ]);
  });

  test('is let in by its own customer, and by no other', async () => {
    const token = await http.tokenOf('owner');
    await registered('kiosk-owned', 'OW-1', 'owner');
    const key = await makeTestKey();
    await server.enrol(key, { serialNumber: 'OW-1' });
    expect(await pendingOf(key, await http.tokenOf('somebody'))).toBeUndefined();
    expect(await pendingOf(key, token)).toMatchObject({ deviceId: 'kiosk-owned' });
    expect((await approve(key, { deviceId: 'kiosk-owned' }, token)).body['deviceId']).toBe('kiosk-owned');
  });

  test('is named by a human when several have its serial number', async () => {
    await registered('kiosk-twin-1', 'TW-1');
    await registered('kiosk-twin-2', 'TW-1');
    const key = await makeTestKey();
    await server.enrol(key, { serialNumber: 'TW-1' });
    expect(await pendingOf(key)).toMatchObject({ deviceId: null, reason: 'serial_number_known' });
    expect((await approve(key)).body['code']).toBe('device_ambiguous');
    expect((await approve(key, { deviceId: 'kiosk-twin-2' })).body['deviceId']).toBe('kiosk-twin-2');
  });

  test('retired is told so, signed, and stays retired', async () => {
    const key = await registered('kiosk-retired', 'RE-1');
    await database.store.transaction((sql) =>
      retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId: 'kiosk-retired', expectedVersion: null }),
    );
    const told = await server.enrol(key);
    expect(told).toMatchObject({ status: 'retired', device: 'kiosk-retired' });
    expect(told.certificate).toBeUndefined();
    expect(server.audit.entries.at(-1)).toMatchObject({
      actor: 'device:kiosk-retired',
      action: 'enrol',
      result: 'refused',
      code: 'device_retired',
      deviceId: 'kiosk-retired',
    });
    const { mint } = await addTestBatch(database.store, 'for-the-retired');
    expect((await server.enrol(key, { claim: await mintClaim(mint, 'RE-1') })).status).toBe('retired');
  });

  test('under the id of another is refused', async () => {
    const key = await registered('kiosk-honest', 'HO-1');
    const refused = await server.ask(key, { device: 'kiosk-back' });
    expect([refused.status, refused.code]).toEqual([409, 'device_mismatch']);
    expect(server.audit.entries.at(-1)).toMatchObject({
      actor: 'device:kiosk-honest',
      code: 'device_mismatch',
      deviceId: 'kiosk-honest',
      detail: { namedDevice: 'kiosk-back' },
    });
  });

  test('changes its key with an endorsement by the old one', async () => {
    const old = await registered('kiosk-turns', 'TU-1');
    const key = await makeTestKey('Ed25519');
    const nonce = await server.nonce();
    const endorsed = { v: 1, device: 'kiosk-turns', thumbprint: fingerprintOf(key), nonce };
    const endorsement = await seal('endorsement', endorsed, old.signing);
    expect(await server.enrol(key, { nonce, endorsement })).toMatchObject({
      status: 'accepted',
      device: 'kiosk-turns',
    });
    expect((await server.ask(old)).code).toBe('key_revoked');
    expect((await server.enrol(key)).status).toBe('accepted');
    expect(server.audit.entries).toContainEqual(
      expect.objectContaining({ action: 'rotateKey', actor: 'device:kiosk-turns' }),
    );
  });

  test.each([
    [
      'for another key',
      async (nonce: string, old: TestKey) =>
        seal('endorsement', { v: 1, device: 'kiosk-firm', thumbprint: fingerprintOf(old), nonce }, old.signing),
    ],
    [
      'for another request',
      async (_: string, old: TestKey, key: TestKey) =>
        seal(
          'endorsement',
          { v: 1, device: 'kiosk-firm', thumbprint: fingerprintOf(key), nonce: 'AAAAAAAAAAA' },
          old.signing,
        ),
    ],
    [
      'by another key',
      async (nonce: string, _: TestKey, key: TestKey) =>
        seal('endorsement', { v: 1, device: 'kiosk-firm', thumbprint: fingerprintOf(key), nonce }, key.signing),
    ],
    [
      'that is no endorsement',
      async (nonce: string, old: TestKey, key: TestKey) =>
        seal('report', { v: 1, device: 'kiosk-firm', thumbprint: fingerprintOf(key), nonce }, old.signing),
    ],
    [
      'of another device',
      async (nonce: string, old: TestKey, key: TestKey) =>
        seal('endorsement', { v: 1, device: 'kiosk-honest', thumbprint: fingerprintOf(key), nonce }, old.signing),
    ],
  ])('does not with an endorsement %s', async (_, make) => {
    firm ??= registered('kiosk-firm', 'FI-1');
    const [old, key, nonce] = [await firm, await makeTestKey(), await server.nonce()];
    const refused = await server.ask(key, { nonce, endorsement: await make(nonce, old, key) });
    expect([refused.status, refused.code]).toEqual([403, 'endorsement_invalid']);
    expect(await keysOf(database.store, ALL_CUSTOMERS, 'kiosk-firm')).toHaveLength(1);
  });
  let firm: Promise<TestKey> | undefined;
});

test('an approval that cannot be carried out leaves the device waiting', async () => {
  const key = await makeTestKey();
  await server.enrol(key);
  expect((await approve(key, { modelId: 'no-such-model' })).body['code']).toBe('model_unknown');
  expect(await pendingOf(key)).toBeDefined();
  await database.store.transaction((sql) =>
    createCustomer(sql, ALL_CUSTOMERS, 'test', { customerId: 'late', name: 'Late' }),
  );
  const approved = await approve(key, { customerId: 'late' });
  expect(await readDevice(database.store, { customerId: 'late' }, String(approved.body['deviceId']))).toBeDefined();
});
