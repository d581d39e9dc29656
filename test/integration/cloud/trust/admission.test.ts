import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectPlain } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { replaceFile } from '@paddock/cloud/adapters/whole-file.ts';
import { actAs, ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { registerDevice, retireDevice } from '@paddock/cloud/devices/registry.ts';
import { StoredAdmission } from '@paddock/cloud/trust/admission.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { RevocationFile } from '@paddock/cloud/trust/revocation-file.ts';
import { recordCertificate, revokeCertificates } from '@paddock/cloud/trust/revocation.ts';
import { devicePair, newAuthority, serverPair, type DevicePair } from '../../../harness/authority.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { openssl } from '../../../harness/openssl.ts';
import { RawClient } from '../../../harness/raw-client.ts';
import { makeTestKey } from '../../../harness/signing.ts';

const LOG = { debug() {}, info() {}, warn() {}, error() {} };

let database: FreshDatabase;
let authority: Authority;
let broker: EmbeddedBroker;
let unlisten: () => Promise<void>;
const refused: [code: string, deviceId: string | null][] = [];
beforeAll(async () => {
  database = await freshDatabase();
  authority = await newAuthority();
  const admission = new StoredAdmission({ sql: database.store, clock: systemClock, log: LOG });
  unlisten = await database.store.listen('paddock_devices', (id) => admission.changed(id));
  const identity = await serverPair(authority);
  const tls = { host: '127.0.0.1', port: 0, identity, authorityPem: authority.certificatePem };
  broker = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock: systemClock, tls, admission });
  await broker.open({
    message: async () => undefined,
    foreign: () => undefined,
    oversized: () => undefined,
    refusedConnection: (code, { deviceId }) => refused.push([code, deviceId]),
    reachable: () => undefined,
  });
});
afterAll(async () => {
  await broker.close();
  await unlisten();
  await database.drop();
});

let devices = 0;
let deviceId: string;
let pair: DevicePair;
const clients: RawClient[] = [];
beforeEach(async () => {
  refused.length = 0;
  deviceId = `kiosk-${1000 + devices++}`;
  const { publicJwk } = await makeTestKey();
  pair = await devicePair(authority, deviceId);
  await database.store.transaction(async (sql) => {
    await registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, publicKey: publicJwk });
    await recordCertificate(sql, deviceId, pair.issued);
  });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.end();
});

async function come(shown = pair): Promise<RawClient> {
  const { key, cert } = shown;
  const socket = connect({ port: broker.tlsPort, host: '127.0.0.1', ca: authority.certificatePem, key, cert });
  const client = await new RawClient(socket).hello(deviceId);
  clients.push(client);
  return client;
}
const codeOf = async (client: RawClient): Promise<unknown> => {
  const packet = await client.next('connack');
  return 'returnCode' in packet ? packet.returnCode : undefined;
};
const revoke = () =>
  database.store.transaction(async (sql) => {
    await actAs(sql, 'test');
    return revokeCertificates(sql, deviceId, 'stolen');
  });

test('a live connection is closed at once when its certificate is taken back, and does not come again', async () => {
  const client = await come();
  expect(await codeOf(client)).toBe(0);
  await revoke();
  await client.closed;
  const again = await come();
  expect(await codeOf(again)).toBe(5);
  await again.closed;
  expect(refused).toEqual([
    ['certificate_revoked', deviceId],
    ['certificate_revoked', deviceId],
  ]);
});

test('a new certificate lets the device in again', async () => {
  await revoke();
  const next = await devicePair(authority, deviceId);
  await recordCertificate(database.store, deviceId, next.issued);
  expect(await codeOf(await come(next))).toBe(0);
});

test('a live connection is closed at once when its device is retired', async () => {
  const client = await come();
  expect(await codeOf(client)).toBe(0);
  await database.store.transaction((sql) =>
    retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, expectedVersion: null }),
  );
  await client.closed;
  expect(refused).toEqual([['device_retired', deviceId]]);
});

test('a certificate of our authority for a device that nobody registered is refused', async () => {
  deviceId = 'kiosk-nobody';
  expect(await codeOf(await come(await devicePair(authority, deviceId)))).toBe(5);
  expect(refused).toEqual([['device_unknown', deviceId]]);
});

test('a device that has a certificate is not taken without TLS: nobody takes its place there', async () => {
  const genuine = await come();
  expect(await codeOf(genuine)).toBe(0);
  const thief = new RawClient(connectPlain(broker.port, '127.0.0.1'));
  clients.push(thief);
  await thief.hello(deviceId);
  expect(await codeOf(thief)).toBe(5);
  await thief.closed;
  expect(refused).toEqual([['certificate_missing', null]]);
  await genuine.subscribe(`paddock/v1/${deviceId}/answer`);
  expect(await genuine.next('suback')).toMatchObject({ granted: [1] });
});

test('the file for another broker has what was taken back, and is replaced whole', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'paddock-crl-'));
  const file = join(directory, 'revoked.crl.pem');
  const write = (pem: string) => replaceFile(file, pem);
  const kept = new RevocationFile({
    sql: database.store,
    authorities: { accepted: [authority] },
    clock: systemClock,
    log: LOG,
    write,
  });
  const stop = new AbortController();
  const running = kept.run(stop.signal);
  const listed = async (): Promise<string> =>
    openssl('crl -in crl -noout -text', { crl: await readFile(file).catch(() => Buffer.alloc(0)) });
  const serial = pair.issued.serial.toUpperCase();
  await expect.poll(() => listed().catch(() => ''), { timeout: 5_000 }).toContain('Serial Number');
  expect(await listed()).not.toContain(serial);
  await revoke();
  kept.changed();
  await expect.poll(listed, { timeout: 5_000 }).toContain(serial);
  expect(await readdir(directory)).toEqual(['revoked.crl.pem']);
  stop.abort();
  await running;
  await rm(directory, { recursive: true });
});
