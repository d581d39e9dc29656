import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { HttpParts } from '@paddock/cloud/http/app.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';

let database: FreshDatabase;
let http: TestHttp | null = null;
beforeAll(async () => {
  database = await freshDatabase();
}, 60_000);
afterEach(async () => {
  await http?.close();
  http = null;
});
afterAll(() => database.drop());

async function behind(trustedProxies: readonly string[], parts: Partial<HttpParts> = {}): Promise<TestHttp> {
  http = await startHttp(database.store, { ...parts, trustedProxies });
  return http;
}

/** The address that the audit log is told when somebody comes with a wrong token by way of this machine. */
async function toldOf(forwarded: string): Promise<string | undefined> {
  const { call, audit } = http ?? expect.unreachable();
  await call('GET', '/api/v1/devices', { token: 'paddock_wrong', headers: { 'x-forwarded-for': forwarded } });
  return audit.entries.at(-1)?.address;
}

it('believes a trusted proxy whom a request comes from, and only what it says itself', async () => {
  await behind(['127.0.0.0/8', '10.1.0.0/16']);
  expect(await toldOf('203.0.113.9')).toBe('203.0.113.9');
  expect(await toldOf('2001:db8::7')).toBe('2001:db8::7');
  // What the client wrote before the proxy added its address is not the proxy's word.
  expect(await toldOf('198.51.100.1, 203.0.113.9')).toBe('203.0.113.9');
  expect(await toldOf('198.51.100.1, 203.0.113.9, 10.1.2.3')).toBe('203.0.113.9');
});

it.each([[[]], [['10.1.0.0/16']]])('believes nobody else who claims to be a proxy: trusted are %j', async (trusted) => {
  await behind(trusted);
  expect(await toldOf('203.0.113.9')).toBe('127.0.0.1');
});

it('counts wrong tokens for each client of the proxy', async () => {
  const failureLimit = { failures: 2, windowMs: 60_000, remembered: 10 };
  const { call } = await behind(['127.0.0.1'], { failureLimit });
  const from = (client: string) =>
    call('GET', '/api/v1/devices', { token: 'paddock_wrong', headers: { 'x-forwarded-for': client } });
  for (const status of [401, 401, 429]) expect((await from('203.0.113.9')).status).toBe(status);
  expect((await from('203.0.113.10')).status).toBe(401);
});
