import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { writeReported } from '@paddock/cloud/desired/reported.ts';
import type { ReportedDesired } from '@paddock/shared/desired.ts';
import { addDevices } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { listenTo } from '../../../harness/event-stream.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';

const PROGRAM = join(import.meta.dirname, '../../../../cloud/bin/paddock.cjs');

let database: FreshDatabase;
let http: TestHttp;
let count = 0;
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
});
afterAll(async () => {
  await http.close();
  await database.drop();
});

async function newDevice(): Promise<{ id: string; path: string }> {
  const id = `kiosk-${(count += 1)}`;
  await addDevices(database.store, [id]);
  return { id, path: `/api/v1/devices/${id}/desired` };
}
const reports = (id: string, reported: ReportedDesired) =>
  database.store.transaction((sql) => writeReported(sql, new Map([[id, reported]]), []));

describe('desired state over HTTP', () => {
  it('is set whole, in parts and by key, and shows its versions', async () => {
    const { id, path } = await newDevice();
    const empty = await http.call('GET', path);
    expect([empty.status, empty.headers.get('etag')]).toEqual([200, '"0"']);
    expect(empty.body).toMatchObject({ deviceId: id, version: 0, state: {}, reported: null, converged: true });
    const put = await http.call('PUT', path, { body: { state: { agent: { logLevel: 'debug' }, x: 1 } } });
    expect([put.status, put.headers.get('etag')]).toEqual([200, '"1"']);
    const patch = await http.call('PATCH', path, { body: { state: { agent: null, y: [2] } } });
    expect(patch.body).toMatchObject({ version: 2, state: { x: 1, y: [2] }, converged: false });
    const key = await http.call('PUT', `${path}/keys/agent`, { body: { value: { logLevel: 'warn' } } });
    expect(key.body).toMatchObject({ version: 3, state: { agent: { logLevel: 'warn' }, x: 1, y: [2] } });
    expect((await http.call('GET', `${path}/keys/agent`)).body).toEqual({
      deviceId: id,
      version: 3,
      value: { logLevel: 'warn' },
    });
    const gone = await http.call('DELETE', `${path}/keys/x`);
    expect(gone.body).toMatchObject({ version: 4, state: { agent: { logLevel: 'warn' }, y: [2] } });
    expect((await http.call('GET', `${path}/keys/x`)).status).toBe(404);
    const history = await http.call('GET', `${path}/history`);
    expect(history.items.map(({ version }) => version)).toEqual([4, 3, 2, 1]);
    expect(history.items[0]).toMatchObject({ changes: [{ key: 'x', before: 1, after: null }] });
    const { requestId, changedBy } = history.items[0] ?? {};
    expect(http.audit.entries).toContainEqual(
      expect.objectContaining({ action: 'unsetDesiredKey', actor: changedBy, requestId, deviceId: id, result: 'done' }),
    );
  });

  it('has outputs that are set one by one', async () => {
    const { path } = await newDevice();
    const light = await http.call('PUT', `${path}/outputs/light`, { body: { value: true } });
    expect(light.body).toMatchObject({ version: 1, state: { outputs: { light: true } } });
    const leased = { value: 21.5, leaseSeconds: 600 };
    const heater = await http.call('PUT', `${path}/outputs/heater.left`, { body: { value: leased } });
    expect(heater.body).toMatchObject({ version: 2, state: { outputs: { light: true, 'heater.left': leased } } });
    const stale = { 'if-match': '"1"' };
    expect((await http.call('DELETE', `${path}/outputs/light`, { headers: stale })).status).toBe(412);
    await http.call('DELETE', `${path}/outputs/light`);
    const last = await http.call('DELETE', `${path}/outputs/heater.left`);
    expect(last.body).toMatchObject({ version: 4, state: {} });
    const wrong = await http.call('PUT', `${path}/outputs/light`, { body: { value: { leaseSeconds: 600 } } });
    expect([wrong.status, wrong.body['code']]).toEqual([400, 'desired_value_invalid']);
  });

  it('is edited as it was read, where the editor says so', async () => {
    const { path } = await newDevice();
    const edit = (etag: string, value: unknown) =>
      http.call('PUT', `${path}/keys/x`, { body: { value }, headers: { 'if-match': etag } });
    expect((await edit('"0"', 1)).status).toBe(200);
    const stale = await edit('"0"', 2);
    expect([stale.status, stale.body['code']]).toEqual([412, 'version_conflict']);
    expect((await edit('"1"', 2)).headers.get('etag')).toBe('"2"');
  });

  test.each<[status: number, code: string, method: string, path: string, body: unknown]>([
    [400, 'desired_value_invalid', 'PUT', '/keys/agent', { value: { logLevel: 'loud' } }],
    [400, 'desired_value_invalid', 'PUT', '/keys/x', { value: null }],
    [400, 'desired_key_invalid', 'PATCH', '', { state: { 'not a key': 1 } }],
    [400, 'desired_too_large', 'PUT', '', { state: { x: 'x'.repeat(40_000) } }],
    [400, 'request_invalid', 'PUT', '/keys/NotAKey', { value: 1 }],
    [400, 'request_invalid', 'PUT', '', { agent: {} }],
  ])('is refused with %i %s', async (status, code, method, sub, body) => {
    const { path } = await newDevice();
    const answer = await http.call(method, path + sub, { body });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    expect((await http.call('GET', path)).body['version']).toBe(0);
  });

  it('is nobody else’s', async () => {
    const { path } = await newDevice();
    const token = await http.tokenOf('desired-stranger');
    for (const [method, sub, body] of [
      ['GET', '', undefined],
      ['GET', '/history', undefined],
      ['PUT', '/keys/x', { value: 1 }],
      ['PATCH', '', { state: {} }],
    ] as const) {
      const answer = await http.call(method, path + sub, { token, body });
      expect([answer.status, answer.body['code']]).toEqual([404, 'device_unknown']);
    }
  });

  it('tells listeners when it is set, and when the device reports that it is applied or cannot be', async () => {
    const { id, path } = await newDevice();
    const headers = { authorization: `Bearer ${http.operator}` };
    const stream = await listenTo(`${http.url}/api/v1/events`, headers);
    await stream.until(({ event }) => event === 'ready');
    const told = (version: number, converged: boolean, errors = false) =>
      stream.until(
        ({ event, data }) =>
          event === 'desired' &&
          data['deviceId'] === id &&
          data['version'] === version &&
          data['converged'] === converged &&
          ((data['reported'] as ReportedDesired | null)?.errors !== undefined) === errors,
      );
    await http.call('PUT', `${path}/keys/agent`, { body: { value: { schedule: '* * * * *' } } });
    const set = await told(1, false);
    await reports(id, { epoch: 0, version: 1, errors: { agent: { code: 'schedule_invalid' } } });
    await told(1, false, true);
    await reports(id, { epoch: 0, version: 1 });
    await told(1, true);
    stream.close();
    const again = await listenTo(`${http.url}/api/v1/events`, { ...headers, 'last-event-id': set.id });
    await again.until(({ event }) => event === 'ready');
    expect(again.events.find(({ event }) => event === 'desired')?.data).toEqual({
      deviceId: id,
      epoch: 0,
      version: 1,
      reported: { epoch: 0, version: 1 },
      converged: true,
    });
    again.close();
    expect((await http.call('GET', `/api/v1/devices/${id}`)).body['desired']).toMatchObject({ converged: true });
  });
});

describe('paddock desired', () => {
  const paddock = async (...args: string[]): Promise<string> => {
    const all = [PROGRAM, 'desired', ...args, '--url', http.url, '--token', http.operator];
    return (await promisify(execFile)(process.execPath, all)).stdout.trim();
  };

  it('sets, shows, takes away, and tells the history', async () => {
    const { id } = await newDevice();
    expect(await paddock('set', id, 'agent', '{"logLevel":"debug"}')).toBe(
      `${id}: version 1, not taken up: the device reports none`,
    );
    await reports(id, { epoch: 0, version: 1, errors: { agent: { code: 'x_wrong', detail: 'why' } } });
    const shown = await paddock('show', id);
    expect(shown).toContain('version 1, not applied: agent: x_wrong');
    expect(shown).toContain('x_wrong (why)');
    expect(shown).toContain('{"logLevel":"debug"}');
    expect(JSON.parse(await paddock('unset', id, 'agent', '--json'))).toMatchObject({ version: 2, state: {} });
    const history = await paddock('history', id);
    expect(history).toContain('agent taken away');
    expect(history).toContain('agent set to {"logLevel":"debug"}');
  });

  it('says why not, by exit code and code', async () => {
    const { id } = await newDevice();
    await expect(paddock('set', id, 'agent', 'debug')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('value_invalid') as string,
    });
    await expect(paddock('set', id, 'x', '1', '--if-version', '4')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('version_conflict') as string,
    });
  });
});
