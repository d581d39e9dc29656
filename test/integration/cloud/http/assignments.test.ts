import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { listenTo } from '../../../harness/event-stream.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { addKiosks, addReleases, MODEL, Operator, releaseOf, withdrawRelease } from '../../../harness/updating.ts';

const [OLD, NEW, GONE] = [releaseOf(1), releaseOf(2), releaseOf(8)];
const RELEASE = { name: NEW.name, version: NEW.version };

let database: FreshDatabase;
let http: TestHttp;
let operator: Operator;
let acme: string;

const path = (id: unknown, more = ''): string => `/api/v1/assignments/${String(id)}${more}`;
const post = (body: object, token?: string) =>
  http.call('POST', '/api/v1/assignments', { body: { release: RELEASE, ...body }, ...(token && { token }) });
const edit = async (deviceId: string, text: string) =>
  database.store.transaction(async (sql) => {
    await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
    await sql.query(`UPDATE devices SET ${text} WHERE device_id = $1`, [deviceId]);
  });

beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
  operator = new Operator(database.store);
  await addReleases(database.store, [OLD, NEW, GONE]);
  await withdrawRelease(database.store, GONE);
  await addKiosks(database.store, ['kiosk-1', 'kiosk-2', 'kiosk-3', 'other-1', 'retired-1']);
  await addKiosks(database.store, ['acme-1', 'acme-2']);
  acme = await http.tokenOf('acme');
  await edit('other-1', 'model_id = NULL');
  await edit('retired-1', 'retired_at = now()');
  for (const id of ['acme-1', 'acme-2']) await edit(id, `customer_id = 'acme'`);
});
afterAll(async () => {
  await http.close();
  await database.drop();
});

describe('assignments over HTTP', () => {
  it('are made for a list, with a code for each device that cannot be taken', async () => {
    const devices = ['kiosk-1', 'other-1', 'retired-1'];
    const window = { zone: 'Europe/Zurich', from: '22:00', to: '05:00' };
    const { status, body, headers } = await post({ devices, cap: 5, window, bytesPerSecond: 65_536 });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe(path(body['assignmentId']));
    expect(body).toMatchObject({
      release: NEW,
      filter: null,
      state: 'active',
      cap: 5,
      haltAfter: 3,
      options: { window, bytesPerSecond: 65_536 },
      totals: { waiting: 1, refused: 2, updated: 0 },
    });
    const { items } = await http.call('GET', path(body['assignmentId'], '/devices?limit=2'));
    expect(items.map(({ deviceId, state, code }) => [deviceId, state, code])).toEqual([
      ['kiosk-1', 'waiting', null],
      ['other-1', 'refused', 'model_unfit'],
    ]);
    const refused = await http.call('GET', path(body['assignmentId'], '/devices?state=refused'));
    expect(refused.items).toHaveLength(2);
    await operator.turn();
    const desired = await http.call('GET', '/api/v1/devices/kiosk-1/desired');
    expect(desired.body).toMatchObject({ state: { firmware: { ...NEW, window, bytesPerSecond: 65_536 } } });
    expect(desired.body['changedBy']).toBe(`assignment:${String(body['assignmentId'])}`);
  });

  it('are refused with a code', async () => {
    const codeOf = async (body: object): Promise<unknown> => {
      const { status, body: problem } = await post(body);
      return `${status} ${String(problem['code'])}`;
    };
    const devices = ['kiosk-1'];
    expect(await codeOf({ devices, release: { name: 'kiosk', counter: 77 } })).toBe('404 release_unknown');
    expect(await codeOf({ devices, release: { name: 'kiosk', counter: GONE.counter } })).toBe('409 release_withdrawn');
    expect(await codeOf({ devices: ['kiosk-1', 'nobody-1'] })).toBe('404 device_unknown');
    expect(await codeOf({ devices: ['other-1'] })).toBe('409 assignment_empty');
    expect(await codeOf({ filter: { site: 'nowhere' } })).toBe('409 assignment_empty');
    expect(await codeOf({})).toBe('400 assignment_targets_invalid');
    expect(await codeOf({ devices, filter: {} })).toBe('400 assignment_targets_invalid');
    expect(await codeOf({ devices, standing: true })).toBe('400 assignment_targets_invalid');
    expect(await codeOf({ devices, cap: 0 })).toBe('400 request_invalid');
    const window = { zone: 'Europe/Nowhere', from: '22:00', to: '05:00' };
    expect(await codeOf({ devices, window })).toBe('400 time_zone_invalid');
    expect((await http.call('GET', path(4711))).body).toMatchObject({ code: 'assignment_unknown' });
    expect((await http.call('POST', path(4711, '/pause'))).body).toMatchObject({ code: 'assignment_unknown' });
  });

  it('are paused, resumed and cancelled, and listed by what they are', async () => {
    const { body } = await post({ filter: { model: MODEL, presence: 'online' } });
    const id = body['assignmentId'];
    expect(body).toMatchObject({ filter: { model: MODEL }, totals: { waiting: 5 } });
    const steps = [];
    for (const verb of ['pause', 'resume', 'cancel', 'cancel', 'resume']) {
      const { status, body: view } = await http.call('POST', path(id, `/${verb}`));
      steps.push(`${verb} ${status} ${String(view['state'] ?? view['code'])}`);
    }
    expect(steps).toEqual([
      'pause 200 paused',
      'resume 200 active',
      'cancel 200 cancelled',
      'cancel 200 cancelled',
      'resume 409 assignment_ended',
    ]);
    const { items } = await http.call('GET', '/api/v1/assignments?state=cancelled&name=kiosk');
    expect(items.map(({ assignmentId }) => assignmentId)).toEqual([id]);
    expect(http.audit.entries.map(({ action }) => action)).toContain('pauseAssignment');
  });

  it('reach no further than the token', async () => {
    expect((await post({ devices: ['kiosk-1'] }, acme)).body).toMatchObject({ code: 'device_unknown' });
    const { body: own } = await post({ filter: {} }, acme);
    expect(own).toMatchObject({ customerId: 'acme', totals: { waiting: 2 } });
    const { body: all } = await post({ filter: { customer: 'default' } });
    const seen = await http.call('GET', '/api/v1/assignments', { token: acme });
    expect(seen.items.map(({ assignmentId }) => assignmentId)).toEqual([own['assignmentId']]);
    const foreign = await http.call('POST', path(all['assignmentId'], '/cancel'), { token: acme });
    expect(foreign.body).toMatchObject({ status: 404, code: 'assignment_unknown' });
    const firmware = await http.call('GET', '/api/v1/devices/kiosk-1/firmware', { token: acme });
    expect(firmware.body).toMatchObject({ code: 'device_unknown' });
    await http.call('POST', path(all['assignmentId'], '/cancel'));
  });

  it('take devices that come later, when they stand, and a later one has those first', async () => {
    const { body: one } = await post({ filter: { customer: 'default' }, standing: true, cap: 1 });
    const { body: other } = await post({ release: OLD_NAME, filter: { customer: 'default' }, standing: true, cap: 1 });
    await addKiosks(database.store, ['later-1'], 'offline');
    await operator.turn();
    const devices = await operator.states(Number(other['assignmentId']));
    expect(devices).toMatchObject({ 'later-1': 'waiting', 'kiosk-2': 'waiting' });
    expect(await operator.states(Number(one['assignmentId']))).not.toHaveProperty('later-1');
    expect((await operator.view(Number(one['assignmentId']))).state).toBe('active');
    for (const { assignmentId } of [one, other] as { assignmentId: number }[])
      await http.call('POST', path(assignmentId, '/cancel'));
  });

  it('are told live, and to who comes back what was missed', async () => {
    const headers = { authorization: `Bearer ${http.operator}` };
    const stream = await listenTo(`${http.url}/api/v1/events`, headers);
    const strangers = await listenTo(`${http.url}/api/v1/events`, { authorization: `Bearer ${acme}` });
    const ready = await stream.until(({ event }) => event === 'ready');
    await strangers.until(({ event }) => event === 'ready');
    const { body } = await post({ devices: ['kiosk-3'] });
    await operator.turn();
    const isHanded = ({ event, data }: { event: string; data: Record<string, unknown> }): boolean =>
      event === 'assignment-device' && data['deviceId'] === 'kiosk-3' && data['state'] === 'updating';
    await stream.until(isHanded);
    const told = await stream.until(
      ({ event, data }) =>
        event === 'assignment' && (data['totals'] as Record<string, number> | undefined)?.['updating'] === 1,
    );
    expect(told.data).toMatchObject({ assignmentId: body['assignmentId'], state: 'active' });
    const back = await listenTo(`${http.url}/api/v1/events`, { ...headers, 'last-event-id': ready.id });
    await back.until(isHanded);
    await back.until(({ event, data }) => event === 'assignment' && data['assignmentId'] === body['assignmentId']);
    const own = await post({ filter: {} }, acme);
    await strangers.until(({ data }) => data['assignmentId'] === own.body['assignmentId']);
    expect(strangers.events.filter(({ data }) => data['assignmentId'] === body['assignmentId'])).toEqual([]);
    for (const one of [stream, strangers, back]) one.close();
  });
});

const OLD_NAME = { name: OLD.name, counter: OLD.counter };
