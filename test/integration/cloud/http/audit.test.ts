import { pino } from 'pino';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { ChainWalk, type ChainLink } from '@paddock/cloud/audit/chain.ts';
import { AuditLog } from '@paddock/cloud/audit/log.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey } from '../../../harness/signing.ts';

const openLog = (): AuditLog =>
  new AuditLog({ sql: database.store, clock: systemClock, log: pino({ level: 'silent' }) });

let database: FreshDatabase;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
}, 60_000);
afterAll(async () => {
  await http.close();
  await database.drop();
});
beforeEach(() => void http.audit.entries.splice(0));

it('tells the audit log of a write: who, from where, what, with which result; and history names the same request', async () => {
  const publicKey = (await makeTestKey()).publicJwk;
  const { status, headers } = await http.call('POST', '/api/v1/devices', {
    body: { deviceId: 'kiosk-audit', publicKey },
  });
  expect(status).toBe(201);
  const requestId = headers.get('x-request-id');
  expect(http.audit.entries).toEqual([
    {
      actor: expect.stringMatching(/^token:[\w-]+$/),
      action: 'registerDevice',
      result: 'done',
      code: undefined,
      deviceId: 'kiosk-audit',
      customerId: undefined,
      address: '127.0.0.1',
      requestId,
      detail: { method: 'POST', path: '/api/v1/devices', status: 201 },
    },
  ]);
  const edits = await database.store.query<{ actor: string; table_name: string }>(
    'SELECT actor, table_name FROM history WHERE request_id = $1 ORDER BY id',
    [requestId],
  );
  expect(edits).toEqual([
    { actor: http.audit.entries[0]?.actor, table_name: 'devices' },
    { actor: http.audit.entries[0]?.actor, table_name: 'device_keys' },
  ]);
});

it('tells of what was refused, and why, and not of what was only read', async () => {
  const token = await http.tokenOf('acme');
  await http.call('GET', '/api/v1/devices');
  await http.call('GET', '/healthz', { token: null });
  await http.call('POST', '/api/v1/devices/kiosk-nobody/retire');
  await http.call('POST', '/api/v1/customers', { token, body: { customerId: 'other', name: 'Other' } });
  await http.call('PATCH', '/api/v1/devices/kiosk-nobody', { body: { name: 'x' } });
  await http.call('GET', '/api/v1/devices', { token: null });
  await http.call('DELETE', '/api/v1/tokens/abc', { token: 'paddock_wrong' });
  expect(http.audit.refused).toEqual([
    'retireDevice:device_unknown',
    'createCustomer:scope_forbidden',
    'editDevice:precondition_required',
    'authenticate:token_missing',
    'authenticate:token_invalid',
  ]);
  expect(http.audit.entries).toHaveLength(5);
  expect(http.audit.entries[1]?.customerId).toBe('acme');
  expect(JSON.stringify(http.audit.entries)).not.toContain('paddock_');
});

it('lists page by page, filters, follows, and keeps to the scope of the token', async () => {
  const log = openLog();
  const token = await http.tokenOf('acme');
  const publicKey = (await makeTestKey()).publicJwk;
  await http.call('POST', '/api/v1/devices', { token, body: { deviceId: 'kiosk-of-acme', publicKey } });
  for (let index = 0; index < 5; index += 1)
    await log.add({ actor: 'service', action: 'other', result: 'done', deviceId: 'kiosk-of-acme' });
  await log.add({ actor: 'unknown', action: 'connect', result: 'refused', code: 'key_revoked', address: '10.0.0.9' });
  await log.close();

  const seqs: unknown[] = [];
  let cursor = '';
  do {
    const { items, body } = await http.call('GET', `/api/v1/audit?limit=2${cursor}`);
    seqs.push(...items.map(({ seq }) => seq));
    cursor = typeof body['next'] === 'string' ? `&cursor=${body['next']}` : '';
  } while (cursor !== '');
  expect(seqs).toEqual([6, 5, 4, 3, 2, 1]);

  const actions = async (query: string, options = {}) =>
    (await http.call('GET', `/api/v1/audit?${query}`, options)).items.map(({ action }) => action);
  expect(await actions('actor=unknown')).toEqual(['connect']);
  expect(await actions('result=refused&after=0')).toEqual(['connect']);
  expect(await actions('device=kiosk-of-acme&limit=500')).toHaveLength(5);
  expect(await actions('to=2020-01-01T00:00:00.000Z')).toEqual([]);
  expect(await actions('after=5')).toEqual(['connect']);
  expect(await actions('', { token })).toEqual(['other', 'other', 'other', 'other', 'other']);
  expect((await http.call('GET', '/api/v1/audit/6', { token })).status).toBe(404);
  expect((await http.call('GET', '/api/v1/audit/chain', { token })).body['code']).toBe('scope_forbidden');
  expect((await http.call('GET', '/api/v1/audit?after=x')).body['code']).toBe('request_invalid');
});

it('shows an entry with the edits of its request, and hands out a chain that can be verified', async () => {
  const log = openLog();
  const { headers } = await http.call('POST', '/api/v1/customers', { body: { customerId: 'edited', name: 'Edited' } });
  const requestId = headers.get('x-request-id') ?? '';
  await log.add({ actor: 'token:x', action: 'createCustomer', result: 'done', requestId });
  await log.close();
  const [newest] = (await http.call('GET', '/api/v1/audit?limit=1')).items;
  const { body } = await http.call('GET', `/api/v1/audit/${String(newest?.['seq'])}`);
  expect(body).toMatchObject({
    entry: { requestId },
    edits: [{ table: 'customers', id: 'edited', operation: 'insert', before: null, after: { name: 'Edited' } }],
  });
  const walk = new ChainWalk();
  const { items } = await http.call('GET', '/api/v1/audit/chain?limit=500');
  for (const link of items) walk.take(link as Record<string, unknown> & ChainLink);
  expect(walk.end()).toMatchObject({ first: 1, last: newest?.['seq'], entries: items.length });
});

describe('no way to change the log', () => {
  const chain = () => database.store.query('SELECT * FROM audit_log ORDER BY seq');

  it('is in the API: whatever is asked of it by an operator, what was written stays', async () => {
    const log = openLog();
    await log.add({ actor: 'token:x', action: 'kept', result: 'done', deviceId: 'kiosk-audit' });
    const audited = await startHttp(database.store, { audit: log });
    const before = await chain();
    const headers = { authorization: `Bearer ${audited.operator}`, 'content-type': 'application/json' };
    const ask = async (method: string, path: string): Promise<number> =>
      (await fetch(`${audited.url}${path}`, { method, headers, body: '{}' })).status;
    // Last the token that all of it is asked with.
    const asked = http.app.routes
      .filter((route) => !route.startsWith('GET '))
      .toSorted((a, b) => Number(a.includes('tokens')) - Number(b.includes('tokens')));
    expect(asked.length).toBeGreaterThan(20);
    for (const route of asked) {
      const [method = '', path = ''] = route.split(' ');
      expect(await ask(method, path.replaceAll(/\{\w+\}/g, '1'))).toBeLessThan(500);
    }
    for (const route of http.app.routes.filter((one) => one.includes('/audit')))
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        const path = route.split(' ')[1]?.replace('{seq}', '1') ?? '';
        expect(await ask(method, path)).toBe(404);
      }
    await audited.close();
    await log.close();
    const after = await chain();
    expect(after.length).toBeGreaterThan(before.length);
    expect(after.slice(0, before.length)).toEqual(before);
  });

  it.each([
    "UPDATE audit_log SET entry = '{}'",
    "UPDATE audit_log SET actor = 'nobody' WHERE seq = 1",
    'DELETE FROM audit_log WHERE seq = 1',
    'DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)',
    'DELETE FROM audit_log',
    'TRUNCATE audit_log',
    'TRUNCATE audit_log CASCADE',
    "INSERT INTO audit_log (seq, entry) VALUES (1, '{}') ON CONFLICT (seq) DO UPDATE SET entry = '{}'",
  ])('is in the database as the service reaches it: %s', async (statement) => {
    const before = await chain();
    await expect(database.store.query(statement)).rejects.toThrow();
    expect(await chain()).toEqual(before);
  });
});
