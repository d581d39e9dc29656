import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { observe } from '@paddock/cloud/clock/clock.ts';
import { packClock } from '@paddock/cloud/clock/packed.ts';
import { parseEnvelope, readPayload, verifyEnvelope } from '@paddock/shared/envelope.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { addDevice, record, type TestDevice } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { BOOT_ID } from '../../../harness/reports.ts';

let database: FreshDatabase;
let http: TestHttp;
let device: TestDevice;
const base = Date.now();
const at = (minute: number): string => new Date(base + minute * 60_000).toISOString();

beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
  device = await addDevice(database.store, 'kiosk-0001');
  // Three reports a minute, so that pages end between reports of the same moment.
  for (let n = 0; n < 30; n += 1)
    await record(database.store, device, base + Math.floor(n / 3) * 60_000, { sequence: n, uptimeMs: 60_000 + n });
});
afterAll(async () => {
  await http.close();
  await database.drop();
});

const PATH = '/api/v1/devices/kiosk-0001/reports';

test('reports are complete page by page, newest first, while more arrive', async () => {
  const seen: number[] = [];
  let cursor = '';
  for (let page = 0; page < 20; page += 1) {
    const { body, items } = await http.call('GET', `${PATH}?limit=4${cursor}`);
    seen.push(...items.map((item) => Number(item['sequence'])));
    await record(database.store, device, base + 11 * 60_000 + page, { sequence: 100 + page });
    if (typeof body['next'] !== 'string') break;
    cursor = `&cursor=${encodeURIComponent(body['next'])}`;
  }
  expect(seen).toEqual(Array.from({ length: 30 }, (_, n) => 29 - n));
});

test('a period is taken from its beginning up to its end', async () => {
  const { items } = await http.call('GET', `${PATH}?from=${at(2)}&to=${at(4)}`);
  expect(items.map((item) => item['sequence'])).toEqual([11, 10, 9, 8, 7, 6]);
  expect(items[0]?.['payload']).toMatchObject({ device: 'kiosk-0001', sequence: 11 });
  const bad = await http.call('GET', `${PATH}?from=yesterday`);
  expect([bad.status, bad.body['code']]).toEqual([400, 'request_invalid']);
  for (const never of ['2026-02-31T00:00:00.000Z', '0000-01-01T00:00:00.000Z']) {
    const refused = await http.call('GET', `${PATH}?from=${never}`);
    expect([refused.status, refused.body['code']]).toEqual([400, 'request_invalid']);
  }
});

test('a report is placed by what its boot knows now', async () => {
  // A later exchange of this boot tells that its uptime 60,000 was an hour before the report of it arrived.
  const exchange = {
    requestUptimeMs: 60_000,
    cloudReceivedAt: wallMs(base - 3_600_000),
    cloudSentAt: wallMs(base - 3_599_990),
    responseUptimeMs: 60_020,
    cloudErrorMs: 100,
  };
  const evidence = {
    uptimeMs: 60_100,
    receivedAt: wallMs(base),
    wallMs: null,
    exchanges: [exchange],
    cloudErrorMs: 100,
  };
  await database.store.query(
    `INSERT INTO clocks (device_id, boot_id, segment, ordinal, start, record) VALUES ($1, $2, 0, 1, 1, $3)`,
    ['kiosk-0001', BOOT_ID, JSON.stringify(packClock(observe(null, evidence).clock))],
  );
  const { items } = await http.call('GET', `${PATH}?from=${at(0)}&to=${at(1)}`);
  const first = items.find((item) => item['sequence'] === 0);
  const { earliest, latest, basis } = Object(first?.['time']) as Record<string, string>;
  expect(basis).toBe('exchanged');
  const truth = base - 3_600_000;
  expect(Date.parse(String(earliest))).toBeLessThanOrEqual(truth);
  expect(Date.parse(String(latest))).toBeGreaterThanOrEqual(truth);
  expect(Date.parse(String(latest)) - Date.parse(String(earliest))).toBeLessThan(250);
  const rows = await database.store.query('SELECT basis FROM reports WHERE sequence = 0');
  expect(rows).toEqual([{ basis: 'arrival' }]);
});

test('a proof is enough to verify a report offline', async () => {
  const { body } = await http.call('GET', `${PATH}/AAAAAAAAAAA/1/5/proof`);
  const envelope = parseEnvelope(String(body['envelope']));
  const key = await importVerificationKey(body['key'] as VerificationKey['jwk']);
  const payload = readPayload(await verifyEnvelope(envelope, key), envelope.dictionary, inflater);
  expect(payload).toMatchObject({ device: 'kiosk-0001', sequence: 5 });
  const digest = createHash('sha256').update(envelope.signingInput).digest('base64url');
  expect(body['digest']).toBe(digest);
  expect(body['keys']).toMatchObject([{ keyId: key.keyId, thumbprint: key.thumbprint, revokedAt: null }]);
  expect(String(body['dictionary']).length).toBeGreaterThan(100);
  expect((await http.call('GET', `${PATH}/AAAAAAAAAAA/1/9999/proof`)).status).toBe(404);
});

test('refused messages are shown under the topic that they came by', async () => {
  await database.store.query(
    `INSERT INTO rejected_reports (received_at, device_id, code, detail, topic, envelope)
     VALUES (now(), 'kiosk-0001', 'signature_invalid', 'x', 'paddock/v1/kiosk-0001/report', 'a.b.c')`,
  );
  const { items } = await http.call('GET', '/api/v1/devices/kiosk-0001/rejections');
  expect(items).toMatchObject([{ code: 'signature_invalid', envelope: 'a.b.c' }]);
});

test('what never was is not found', async () => {
  await addDevice(database.store, 'kiosk-silent');
  expect((await http.call('GET', '/api/v1/devices/kiosk-silent/state')).body['code']).toBe('not_found');
  expect((await http.call('GET', '/api/v1/devices/kiosk-silent/reports')).items).toEqual([]);
  expect((await http.call('GET', '/api/v1/devices/kiosk-none/reports')).status).toBe(404);
});
