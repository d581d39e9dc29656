import { Errors, Meta } from 'typebox/schema';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addDevice, record } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';

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

describe('tokens', () => {
  test.each([
    ['no token', null, 'token_missing'],
    ['a wrong token', 'paddock_AAAA', 'token_invalid'],
  ])('%s is refused', async (_, token, code) => {
    const answer = await http.call('GET', '/api/v1/devices', { token });
    expect([answer.status, answer.body['code']]).toEqual([401, code]);
    expect(answer.headers.get('www-authenticate')).toContain('Bearer');
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });

  test('another scheme is refused', async () => {
    const headers = { authorization: `Basic ${http.operator}` };
    expect((await http.call('GET', '/api/v1/devices', { token: null, headers })).body['code']).toBe('token_missing');
  });

  test('are made, listed and revoked', async () => {
    const made = await http.call('POST', '/api/v1/tokens', { body: { name: 'dashboard' } });
    expect(made.status).toBe(201);
    const token = String(made.body['token']);
    expect((await http.call('GET', '/api/v1/devices', { token })).status).toBe(200);
    const listed = await http.call('GET', '/api/v1/tokens');
    expect(listed.text).not.toContain(token);
    const { tokenId } = made.body['apiToken'] as { tokenId: string };
    expect((await http.call('DELETE', `/api/v1/tokens/${tokenId}`)).status).toBe(200);
    expect((await http.call('GET', '/api/v1/devices', { token })).status).toBe(401);
  });

  test('of one customer make no token of all', async () => {
    const token = await http.tokenOf('narrow');
    const wide = await http.call('POST', '/api/v1/tokens', { token, body: { name: 'wide', customerId: null } });
    expect([wide.status, wide.body['code']]).toEqual([403, 'scope_forbidden']);
    const listed = await http.call('GET', '/api/v1/tokens', { token });
    expect(listed.items.map((item) => item['customerId'])).toEqual(['narrow']);
  });

  test('cannot be guessed for long, and who knows one is not locked out by who guesses', async () => {
    const clock = new CloudClock(Date.now());
    const failureLimit = { failures: 3, windowMs: 60_000, remembered: 10 };
    const limited = await startHttp(database.store, { clock, failureLimit });
    expect((await limited.call('GET', '/api/v1/devices')).status).toBe(200);
    for (let n = 0; n < 3; n += 1) await limited.call('GET', '/api/v1/devices', { token: `guess-${n}` });
    const answer = await limited.call('GET', '/api/v1/devices', { token: http.operator });
    expect([answer.status, answer.body['code']]).toEqual([429, 'too_many_failures']);
    expect(answer.headers.get('retry-after')).toBe('60');
    expect((await limited.call('GET', '/api/v1/devices')).status).toBe(200);
    clock.advance(60_000);
    expect((await limited.call('GET', '/api/v1/devices', { token: http.operator })).status).toBe(200);
    await limited.close();
  });
});

describe('customers, sites and models', () => {
  test.each([
    ['customers', { customerId: 'acme', name: 'Acme' }, 'acme'],
    ['sites', { siteId: 'zurich-hb', name: 'Zürich HB', timeZone: 'Europe/Zurich' }, 'zurich-hb'],
    ['models', { modelId: 'cp-22', manufacturer: 'Acme', family: 'CP', name: 'CP 22' }, 'cp-22'],
  ])('%s are created, listed, read and edited', async (many, body, id) => {
    const path = `/api/v1/${many}`;
    const created = await http.call('POST', path, { body });
    expect([created.status, created.headers.get('location')]).toEqual([201, `${path}/${id}`]);
    expect(created.body).toMatchObject(body);
    const again = await http.call('POST', path, { body });
    expect(again.status).toBe(409);
    const etag = { 'if-match': created.headers.get('etag') ?? '' };
    const edited = await http.call('PATCH', `${path}/${id}`, { body: { name: 'New' }, headers: etag });
    expect([edited.status, edited.body['name']]).toEqual([200, 'New']);
    const stale = await http.call('PATCH', `${path}/${id}`, { body: { name: 'Newer' }, headers: etag });
    expect([stale.status, stale.body['code']]).toEqual([412, 'version_conflict']);
    const blind = await http.call('PATCH', `${path}/${id}`, { body: { name: 'Newer' } });
    expect(blind.status).toBe(428);
    const read = await http.call('GET', `${path}/${id}`);
    expect([read.status, read.headers.get('etag')]).toEqual([200, edited.headers.get('etag')]);
    expect((await http.call('GET', `${path}/unknown`)).status).toBe(404);
  });

  test('are listed page by page', async () => {
    for (let n = 0; n < 5; n += 1)
      await http.call('POST', '/api/v1/customers', { body: { customerId: `many-${n}`, name: 'x' } });
    const seen: unknown[] = [];
    let cursor = '';
    for (let page = 0; page < 10; page += 1) {
      const { body, items } = await http.call('GET', `/api/v1/customers?limit=2${cursor}`);
      seen.push(...items.map((item) => item['customerId']));
      if (typeof body['next'] !== 'string') break;
      cursor = `&cursor=${body['next']}`;
    }
    expect(seen.filter((id) => String(id).startsWith('many-'))).toHaveLength(5);
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('of another customer are not there', async () => {
    const token = await http.tokenOf('stranger');
    await http.call('POST', '/api/v1/sites', { body: { siteId: 'private', name: 'x' } });
    expect((await http.call('GET', '/api/v1/sites/private', { token })).status).toBe(404);
    expect((await http.call('GET', '/api/v1/sites', { token })).items).toEqual([]);
    const made = await http.call('POST', '/api/v1/customers', { token, body: { customerId: 'more', name: 'x' } });
    expect(made.status).toBe(403);
  });
});

describe('bodies', () => {
  const post = (body: string, type = 'application/json') =>
    http.call('POST', '/api/v1/customers', { body, headers: { 'content-type': type } });

  test.each([
    ['half of JSON', '{"name":', 400, 'body_malformed'],
    ['nothing', '', 400, 'body_malformed'],
    ['a list', '[]', 400, 'request_invalid'],
    ['more than is taken', JSON.stringify({ customerId: 'a', name: 'x'.repeat(100_000) }), 413, 'body_too_large'],
  ])('%s is refused', async (_, body, status, code) => {
    const answer = await post(body);
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
  });

  test('of another type are refused', async () => {
    const answer = await post('<name/>', 'text/xml');
    expect([answer.status, answer.body['code']]).toEqual([415, 'media_type_unsupported']);
  });
});

describe('the service', () => {
  test('is healthy', async () => {
    expect((await http.call('GET', '/healthz', { token: null })).body).toEqual({ status: 'ok' });
  });

  test('says which part is not ready', async () => {
    const probes = [
      { name: 'database', check: async () => ({ ready: true }) },
      { name: 'broker', check: () => Promise.reject(new Error('connection refused')) },
    ];
    const broken = await startHttp(database.store, { probes });
    const answer = await broken.call('GET', '/readyz', { token: null });
    expect(answer.status).toBe(503);
    expect(answer.body).toEqual({
      ready: false,
      parts: { database: { ready: true }, broker: { ready: false, detail: 'connection refused' } },
    });
    await broken.close();
    expect((await http.call('GET', '/readyz', { token: null })).status).toBe(200);
  });

  test('has metrics', async () => {
    const { text } = await http.call('GET', '/metrics', { token: null });
    expect(text).toContain('# TYPE paddock_reports_recorded_total counter');
    expect(text).toContain('process_cpu_seconds_total');
  });

  test('gives out the keys of the cloud', async () => {
    expect((await http.call('GET', '/api/v1/cloud-keys')).body).toEqual({ keys: [http.cloudKey.publicJwk] });
  });

  test('answers for what is not there', async () => {
    const answer = await http.call('GET', '/api/v1/nothing');
    expect([answer.status, answer.body['code']]).toEqual([404, 'not_found']);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  test('says nothing about its insides when it fails', async () => {
    const failing = await startHttp(database.store, { authenticate: () => Promise.reject(new Error('secret detail')) });
    const answer = await failing.call('GET', '/api/v1/devices');
    expect([answer.status, answer.body['code']]).toEqual([500, 'internal']);
    expect(answer.text).not.toContain('secret');
    await failing.close();
  });
});

describe('the document', () => {
  test('names every route, and nothing else', async () => {
    const { body } = await http.call('GET', '/api/v1/openapi.json', { token: null });
    expect(body['openapi']).toBe('3.1.0');
    const paths = body['paths'] as Record<string, Record<string, Operation>>;
    const named = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(named.toSorted()).toEqual([...http.app.routes].toSorted());
    expect(named.length).toBeGreaterThan(25);
  });

  test('says of every operation what it is, what it takes and what it answers', () => {
    const { paths } = http.app.document() as { paths: Record<string, Record<string, Operation>> };
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.values(methods).map((operation) => ({ path, operation })),
    );
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, operation } of operations) {
      expect(operation.summary, path).toBeTruthy();
      expect(
        Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)),
        path,
      ).toBe(true);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const named = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path').map(({ name }) => name);
      expect(new Set(named), path).toEqual(new Set(inPath));
      if (path.startsWith('/api/'))
        expect(operation.responses['4xx'] ?? operation.responses['4XX'], path).toBeDefined();
    }
  });

  test('holds schemas of JSON Schema 2020-12, as OpenAPI 3.1 asks', () => {
    const schemas: object[] = [];
    JSON.stringify(http.app.document(), (key, value: object) => {
      if (key === 'schema') schemas.push(value);
      return value;
    });
    expect(schemas.length).toBeGreaterThan(100);
    for (const schema of schemas)
      expect(Errors(Meta['https://json-schema.org/draft/2020-12/schema'], schema)[1], JSON.stringify(schema)).toEqual(
        [],
      );
  });

  test('describes what is really answered', async () => {
    const device = await addDevice(database.store, 'documented');
    await record(database.store, device, Date.now(), { host: { load1: 0.5 } });
    const { paths } = http.app.document() as { paths: Record<string, Record<string, Operation>> };
    const one = '/api/v1/devices/{deviceId}';
    const asked = ['/api/v1/devices', one, `${one}/state`, `${one}/reports`, `${one}/rejections`, '/api/v1/tokens']
      .concat([`${one}/reports/{incarnation}/{start}/{sequence}/proof`, '/api/v1/cloud-keys', '/readyz', '/healthz'])
      .concat(['/api/v1/customers', '/api/v1/sites', '/api/v1/models', '/api/v1/customers/{id}']);
    const given = { deviceId: 'documented', incarnation: 'AAAAAAAAAAA', start: '1', sequence: '0', id: 'default' };
    for (const path of asked) {
      const { status, body } = await http.call(
        'GET',
        path.replace(/\{(\w+)\}/g, (_, name: keyof typeof given) => given[name]),
      );
      expect(status, path).toBe(200);
      const answer = paths[path]?.['get']?.responses['200'] as { content: { 'application/json': { schema: object } } };
      expect(Errors(answer.content['application/json'].schema, body)[1], path).toEqual([]);
    }
  });

  test('has a page', async () => {
    const page = await http.call('GET', '/docs/', { token: null });
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
  });
});

interface Operation {
  operationId: string;
  summary?: string;
  parameters?: { name: string; in: string }[];
  responses: Record<string, unknown>;
}
