import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey } from '../../../harness/signing.ts';

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
