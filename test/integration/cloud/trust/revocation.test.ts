import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { actAs, ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { registerDevice, retireDevice } from '@paddock/cloud/devices/registry.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import type { IssuedToDevice } from '@paddock/cloud/trust/authority.ts';
import { readRevoked, recordCertificate, revokeCertificates } from '@paddock/cloud/trust/revocation.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { makeTestKey } from '../../../harness/signing.ts';

const NOW = wallMs(Date.now());
const DAY_MS = 86_400_000;

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

let devices = 0;
let deviceId: string;
beforeEach(async () => {
  deviceId = `kiosk-${1000 + devices++}`;
  const { publicJwk } = await makeTestKey();
  await database.store.transaction((sql) =>
    registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, publicKey: publicJwk }),
  );
});

/** What serials of one test begin with. */
const tag = (): string => deviceId.slice(-4);
const certificate = (serial: string, notAfter = wallMs(NOW + DAY_MS)): IssuedToDevice => ({
  chain: [],
  serial,
  notBefore: NOW,
  notAfter,
  renewAfter: NOW,
  identityThumbprint: 'thumbprint',
  tlsThumbprint: `tls-${serial}`,
  authority: 'ab'.repeat(32),
});
const record = (serial: string, notAfter?: typeof NOW) =>
  recordCertificate(database.store, deviceId, certificate(serial, notAfter));
const revoke = (reason = 'stolen') =>
  database.store.transaction((sql) => act(sql).then(() => revokeCertificates(sql, deviceId, reason)));
const act = (sql: Sql) => actAs(sql, 'token:tests');
const revokedSerials = async () => (await readRevoked(database.store, NOW)).map(({ serial }) => serial);

test('a device’s certificates are taken back together and for good, and the list has them', async () => {
  await record(`${tag()}a1`);
  await record(`${tag()}a2`);
  expect(await revokedSerials()).not.toContain(`${tag()}a1`);
  expect(await revoke()).toBe(2);
  expect(await revoke('again')).toBe(0);
  expect(await revokedSerials()).toEqual(expect.arrayContaining([`${tag()}a1`, `${tag()}a2`]));
  const rows = await database.store.query('SELECT DISTINCT reason FROM certificates WHERE device_id = $1', [deviceId]);
  expect(rows).toEqual([{ reason: 'stolen' }]);
});

test('what was issued after that is good', async () => {
  await record(`${tag()}b1`);
  await revoke();
  await record(`${tag()}b2`);
  expect(await revokedSerials()).not.toContain(`${tag()}b2`);
});

test('every instance hears of it, and the history knows who did it', async () => {
  const heard: string[] = [];
  const unlisten = await database.store.listen('paddock_devices', (id) => heard.push(id));
  await record(`${tag()}c1`);
  await revoke();
  await expect.poll(() => heard).toContain(deviceId);
  await unlisten();
  const history = await database.store.query(`SELECT actor, operation FROM history WHERE row_id = $1`, [`${tag()}c1`]);
  expect(history).toEqual([{ actor: 'token:tests', operation: 'update' }]);
});

test('the list holds those of retired devices, and none that have expired', async () => {
  await record(`${tag()}d1`);
  await record(`${tag()}d2`, wallMs(NOW - 1000));
  await database.store.transaction((sql) =>
    retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, expectedVersion: null }),
  );
  expect(await revokedSerials()).toContain(`${tag()}d1`);
  expect(await revokedSerials()).not.toContain(`${tag()}d2`);
});
