import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Misfit } from '@paddock/cloud/http/problem.ts';
import { addDevice, record } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
});
afterAll(async () => {
  await http.close();
  await database.drop();
});

describe('registering', () => {
  test('gives the device its id, and what it pins', async () => {
    const { publicJwk } = await makeTestKey();
    const body = { deviceId: 'kiosk-new', publicKey: publicJwk, name: 'By the door', serialNumber: 'S-1' };
    const answer = await http.call('POST', '/api/v1/devices', { body });
    expect(answer.status).toBe(201);
    expect(answer.body['device']).toMatchObject({
      deviceId: 'kiosk-new',
      name: 'By the door',
      customerId: 'default',
      presence: 'never-seen',
      lastReport: null,
      readings: {},
    });
    expect(answer.body['cloudKeys']).toEqual({ keys: [http.cloudKey.publicJwk] });
    expect(answer.headers.get('location')).toBe('/api/v1/devices/kiosk-new');
    const again = await http.call('POST', '/api/v1/devices', { body });
    expect([again.status, again.body['code']]).toEqual([409, 'device_exists']);
    const stolen = await http.call('POST', '/api/v1/devices', { body: { ...body, deviceId: 'kiosk-two' } });
    expect([stolen.status, stolen.body['code']]).toEqual([409, 'key_in_use']);
  });

  test('names everything that does not fit, and strips nothing', async () => {
    const body = { deviceId: 'X', publicKey: { kty: 'EC', crv: 'P-256' }, colour: 'red', name: 5 };
    const answer = await http.call('POST', '/api/v1/devices', { body });
    expect([answer.status, answer.body['code']]).toEqual([400, 'request_invalid']);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    const errors = (answer.body['errors'] as Misfit[]).map(({ pointer, code, in: part }) => [pointer, code, part]);
    expect(errors).toContainEqual(['/deviceId', 'value_invalid', 'body']);
    expect(errors).toContainEqual(['/publicKey/x', 'property_missing', 'body']);
    expect(errors).toContainEqual(['/colour', 'property_unknown', 'body']);
    expect(errors).toContainEqual(['/name', 'value_invalid', 'body']);
  });

  test('refuses a key that is none', async () => {
    const publicKey = { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' };
    const answer = await http.call('POST', '/api/v1/devices', { body: { deviceId: 'kiosk-nokey', publicKey } });
    expect([answer.status, answer.body['code']]).toEqual([400, 'key_unsupported']);
  });
});

describe('one device', () => {
  test('shows its last known state and its place in time', async () => {
    const device = await addDevice(database.store, 'kiosk-state');
    const receivedAt = Date.now();
    const { report } = await record(database.store, device, receivedAt, { sequence: 7 });
    const { status, body } = await http.call('GET', '/api/v1/devices/kiosk-state');
    expect(status).toBe(200);
    expect(body['readings']).toEqual(report.readings);
    expect(body['lastReport']).toMatchObject({
      receivedAt: new Date(receivedAt).toISOString(),
      sequence: 7,
      trigger: { kind: 'schedule' },
      time: { earliest: null, latest: new Date(receivedAt).toISOString(), basis: 'arrival' },
    });
    const state = await http.call('GET', '/api/v1/devices/kiosk-state/state');
    expect(state.body['report']).toEqual(report);
  });

  test('is edited by who read it', async () => {
    await addDevice(database.store, 'kiosk-edit');
    const path = '/api/v1/devices/kiosk-edit';
    const read = await http.call('GET', path);
    const etag = read.headers.get('etag') ?? '';
    const blind = await http.call('PATCH', path, { body: { name: 'A' } });
    expect([blind.status, blind.body['code']]).toEqual([428, 'precondition_required']);
    const first = await http.call('PATCH', path, { body: { name: 'A' }, headers: { 'if-match': etag } });
    expect([first.status, first.body['name']]).toEqual([200, 'A']);
    const second = await http.call('PATCH', path, { body: { name: 'B' }, headers: { 'if-match': etag } });
    expect([second.status, second.body['code']]).toEqual([412, 'version_conflict']);
    const weak = await http.call('PATCH', path, { body: { name: 'B' }, headers: { 'if-match': `W/${etag}` } });
    expect([weak.status, weak.body['code']]).toEqual([412, 'precondition_failed']);
    const newer = { 'if-match': first.headers.get('etag') ?? '' };
    const third = await http.call('PATCH', path, { body: { name: 'B', serialNumber: null }, headers: newer });
    expect([third.status, third.body['name']]).toEqual([200, 'B']);
  });

  test('is retired for good', async () => {
    await addDevice(database.store, 'kiosk-old');
    const retired = await http.call('POST', '/api/v1/devices/kiosk-old/retire');
    expect([retired.status, retired.body['presence']]).toEqual([200, 'retired']);
    const etag = { 'if-match': retired.headers.get('etag') ?? '' };
    const edit = await http.call('PATCH', '/api/v1/devices/kiosk-old', { body: { name: 'A' }, headers: etag });
    expect([edit.status, edit.body['code']]).toEqual([409, 'device_retired']);
  });
});

describe('the list', () => {
  test('is complete page by page, while devices are added', async () => {
    const ids = Array.from({ length: 25 }, (_, at) => `page-${String(at).padStart(2, '0')}`);
    for (const id of ids) await addDevice(database.store, id);
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < 20; page += 1) {
      const from = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
      const { body, items } = await http.call('GET', `/api/v1/devices?limit=4&q=page-${from}`);
      seen.push(...items.map((item) => String(item['deviceId'])));
      await addDevice(database.store, `page-00-${page}`);
      if (typeof body['next'] !== 'string') break;
      cursor = body['next'];
    }
    expect(seen).toEqual(seen.toSorted());
    expect(new Set(seen).size).toBe(seen.length);
    expect(ids.filter((id) => !seen.includes(id))).toEqual([]);
  });

  test('filters, and says about how many there are', async () => {
    await addDevice(database.store, 'find-me-100');
    const found = await http.call('GET', '/api/v1/devices?q=FIND-me');
    expect([found.items.length, found.body['estimatedTotal'], found.body['next']]).toEqual([1, 1, null]);
    const literal = await http.call('GET', '/api/v1/devices?q=find%25');
    expect(literal.body['items']).toEqual([]);
    const none = await http.call('GET', '/api/v1/devices?presence=lost');
    expect(none.body['items']).toEqual([]);
    const never = await http.call('GET', '/api/v1/devices?presence=never-seen&q=find-me');
    expect(never.items.length).toBe(1);
  });

  test.each([
    ['/api/v1/devices?cursor=rubbish', 'cursor_invalid'],
    ['/api/v1/devices?limit=many', 'request_invalid'],
    ['/api/v1/devices?limit=100000', 'request_invalid'],
    ['/api/v1/devices?presence=asleep', 'request_invalid'],
    ['/api/v1/devices?colour=red', 'request_invalid'],
    ['/api/v1/devices?q=%00', 'request_invalid'],
  ])('refuses %s', async (path, code) => {
    const answer = await http.call('GET', path);
    expect([answer.status, answer.body['code']]).toEqual([400, code]);
  });
});

describe('a customer', () => {
  test('sees nothing of another', async () => {
    const [a, b] = [await http.tokenOf('scope-a'), await http.tokenOf('scope-b')];
    const device = await addDevice(database.store, 'kiosk-of-b', 'scope-b');
    const { report } = await record(database.store, device, Date.now());
    const base = '/api/v1/devices/kiosk-of-b';
    const proof = `${base}/reports/${report.incarnation}/${report.start}/${report.sequence}/proof`;
    for (const path of [base, `${base}/state`, `${base}/reports`, proof, `${base}/rejections`]) {
      expect((await http.call('GET', path, { token: b })).status, path).toBe(200);
      expect((await http.call('GET', path, { token: a })).status, path).toBe(404);
    }
    const edit = { token: a, body: { name: 'mine' }, headers: { 'if-match': '"1"' } };
    expect((await http.call('PATCH', base, edit)).status).toBe(404);
    expect((await http.call('POST', `${base}/retire`, { token: a })).status).toBe(404);
    const list = await http.call('GET', '/api/v1/devices', { token: a });
    expect([list.body['items'], list.body['estimatedTotal']]).toEqual([[], 0]);
    const asked = await http.call('GET', '/api/v1/devices?customer=scope-b', { token: a });
    expect(asked.body['items']).toEqual([]);
    const { publicJwk } = await makeTestKey();
    const foreign = { deviceId: 'kiosk-foreign', publicKey: publicJwk, customerId: 'scope-b' };
    const refused = await http.call('POST', '/api/v1/devices', { token: a, body: foreign });
    expect([refused.status, refused.body['code']]).toEqual([403, 'scope_forbidden']);
  });
});
