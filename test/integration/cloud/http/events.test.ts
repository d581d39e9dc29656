import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { HUB_SETTINGS } from '@paddock/cloud/http/event-hub.ts';
import { addDevice, record } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { listenTo, type EventStream, type StreamEvent } from '../../../harness/event-stream.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';

let database: FreshDatabase;
let http: TestHttp;
const streams: EventStream[] = [];
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
});
afterEach(() => {
  for (const stream of streams.splice(0)) stream.close();
});
afterAll(async () => {
  await http.close();
  await database.drop();
});

async function listen(on = http, token = on.operator, lastEventId?: string): Promise<EventStream> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
  const stream = await listenTo(`${on.url}/api/v1/events`, headers);
  streams.push(stream);
  await stream.until(({ event }) => event === 'ready');
  return stream;
}

const stateOf = (deviceId: string, sequence?: number) => (event: { event: string; data: Record<string, unknown> }) =>
  event.event === 'state' &&
  event.data['deviceId'] === deviceId &&
  (sequence === undefined || (event.data['lastReport'] as { sequence: number }).sequence === sequence);

test('every instance tells its listeners what any instance recorded, within their scope', async () => {
  const other = await startHttp(database.store);
  const device = await addDevice(database.store, 'event-one');
  const foreign = await addDevice(database.store, 'event-foreign', 'default');
  const stranger = await http.tokenOf('event-stranger');
  const [here, there, nothing] = [await listen(), await listen(other), await listen(http, stranger)];
  await record(database.store, foreign, Date.now());
  await record(database.store, device, Date.now(), { sequence: 3 });
  const told = await here.until(stateOf('event-one', 3));
  expect(told.data).toMatchObject({ deviceId: 'event-one', readings: { door: { value: true } } });
  await there.until(stateOf('event-one', 3));
  await addDevice(database.store, 'event-own', 'event-stranger').then((own) => record(database.store, own, Date.now()));
  await nothing.until(stateOf('event-own'));
  expect(nothing.events.filter(({ event }) => event === 'state').map(({ data }) => data['deviceId'])).toEqual([
    'event-own',
  ]);
  await other.close();
  await there.ended;
});

test('who comes back is told what changed meanwhile, newest state of each device', async () => {
  const [a, b] = [await addDevice(database.store, 'resume-a'), await addDevice(database.store, 'resume-b')];
  const old = Date.now() - 600_000;
  await record(database.store, a, old, { sequence: 1 });
  const before = await listen();
  await record(database.store, a, old, { sequence: 2 });
  const { id } = await before.until(stateOf('resume-a', 2));
  before.close();
  await record(database.store, b, old, { sequence: 1 });
  await record(database.store, b, old, { sequence: 2 });
  const after = await listen(http, http.operator, id);
  const states = after.events.filter(({ event }) => event === 'state');
  expect(states.map(({ data }) => data['deviceId'])).toContain('resume-b');
  expect(states.filter(({ data }) => data['deviceId'] === 'resume-b')).toHaveLength(1);
  expect(states.filter(stateOf('resume-b', 2))).toHaveLength(1);
  expect(states.map(({ data }) => data['deviceId'])).not.toContain('resume-a');
  const ready = after.events.find(({ event }) => event === 'ready');
  after.close();
  const nothingNew = await listen(http, http.operator, ready?.id);
  expect(nothingNew.events.filter(stateOf('resume-b'))).toEqual([]);
});

test('what commits late is told to who comes back, also by another instance', async () => {
  const other = await startHttp(database.store);
  const [late, early] = [
    await addDevice(database.store, 'late-commit'),
    await addDevice(database.store, 'early-commit'),
  ];
  for (const device of [late, early]) await record(database.store, device, Date.now(), { sequence: 1 });
  const stream = await listen();
  let told: StreamEvent | undefined;
  await database.store.transaction(async (sql) => {
    // Its revision is older than the one that the listener sees, and it arrived long ago.
    await sql.query(
      `UPDATE device_state SET revision = nextval('state_revision'), heard_at = 'epoch' WHERE device_id = 'late-commit'`,
    );
    await record(database.store, early, Date.now(), { sequence: 2 });
    told = await stream.until(stateOf('early-commit', 2));
  });
  stream.close();
  const back = await listen(other, http.operator, told?.id);
  expect(back.events.filter(stateOf('late-commit'))).toHaveLength(1);
  const again = await listen(other, http.operator, back.events.at(-1)?.id);
  expect(again.events.map(({ event }) => event)).toEqual(['ready']);
  await other.close();
});

test('a listener that is cut off in the middle of many changes is told all of them again', async () => {
  const paged = await startHttp(database.store, { hub: { ...HUB_SETTINGS, pageSize: 2 } });
  const devices = await Promise.all([0, 1, 2, 3, 4].map((n) => addDevice(database.store, `paged-${n}`)));
  const stream = await listen(paged);
  // One notification tells of all five: three pages.
  await Promise.all(devices.map((device) => record(database.store, device, Date.now(), { sequence: 1 })));
  const ids = devices.map(({ deviceId }) => deviceId);
  await database.store.query(`SELECT pg_notify('paddock_recorded', $1)`, [JSON.stringify(ids)]);
  for (const id of ids) await stream.until(stateOf(id, 1));
  const first = stream.events.findIndex(({ event }) => event === 'state');
  const cut = await listen(http, http.operator, stream.events[first]?.id);
  for (const id of ids) expect(cut.events.filter(stateOf(id, 1))).toHaveLength(1);
  await paged.close();
});

test('an id from another database brings everything', async () => {
  const device = await addDevice(database.store, 'restored');
  await record(database.store, device, Date.now() - 600_000);
  const ready = (await listen()).events.at(-1)?.id.split('-') ?? [];
  for (const foreign of [`999999999-1`, `${ready[0]}-${Number(ready[1]) + 100_000}`]) {
    const stream = await listen(http, http.operator, foreign);
    expect(stream.events.map(({ event }) => event)).toEqual(expect.arrayContaining(['reset', 'state', 'ready']));
    expect(stream.events[0]?.event).toBe('reset');
    expect(stream.events.filter(stateOf('restored'))).toHaveLength(1);
  }
});

test('an id that is none is refused', async () => {
  const answer = await http.call('GET', '/api/v1/events', { headers: { 'last-event-id': 'rubbish' } });
  expect([answer.status, answer.body['code']]).toEqual([400, 'event_id_invalid']);
  const future = await http.call('GET', '/api/v1/events', { headers: { 'last-event-id': '1-9999999999999999' } });
  expect([future.status, future.body['code']]).toEqual([400, 'event_id_invalid']);
  expect((await http.call('GET', '/api/v1/events', { token: null })).status).toBe(401);
});

test('listeners are sent back to ask for what they missed when the database was gone', async () => {
  const cut = await freshDatabase();
  const cutHttp = await startHttp(cut.store);
  const device = await addDevice(cut.store, 'missed');
  const stream = await listen(cutHttp);
  const { id } = await stream.until(({ event }) => event === 'ready');
  await cut.store
    .query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`,
    )
    .catch(() => undefined);
  await record(cut.store, device, Date.now() - 600_000);
  await stream.ended;
  const back = await listen(cutHttp, cutHttp.operator, id);
  expect(back.events.filter(stateOf('missed'))).toHaveLength(1);
  await cutHttp.close();
  await cut.drop();
});

test('heartbeats keep a quiet stream alive', async () => {
  const beating = await startHttp(database.store, { hub: { ...HUB_SETTINGS, heartbeatMs: 20 } });
  const stream = await listen(beating);
  while (!stream.comments.includes('beat')) await new Promise((resolve) => setTimeout(resolve, 5));
  await beating.close();
  await expect(stream.ended).resolves.toBeUndefined();
});

test('a token that is revoked ends its streams, and no others', async () => {
  const beating = await startHttp(database.store, { hub: { ...HUB_SETTINGS, heartbeatMs: 20 } });
  const token = await beating.tokenOf('event-revoked');
  const [revoked, other] = [await listen(beating, token), await listen(beating)];
  const { items } = await beating.call('GET', '/api/v1/tokens', { token });
  await beating.call('DELETE', `/api/v1/tokens/${String(items[0]?.['tokenId'])}`);
  await revoked.ended;
  const beats = other.comments.length;
  while (other.comments.length < beats + 3) await new Promise((resolve) => setTimeout(resolve, 5));
  await beating.close();
  await expect(other.ended).resolves.toBeUndefined();
});

test('a listener that does not read is dropped, the others hear on', async () => {
  const bounded = await startHttp(database.store, { hub: { ...HUB_SETTINGS, maxWaitingBytes: 65_536, gatherMs: 1 } });
  const device = await addDevice(database.store, 'talkative');
  const text = 'x'.repeat(1000);
  const readings = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`text-${n}`, { value: text, ageMs: 0 }]));
  const { hostname, port } = new URL(bounded.url);
  const slow = connect(Number(port), hostname);
  slow.write(`GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${bounded.operator}\r\n\r\n`);
  await new Promise((resolve) => slow.once('data', resolve));
  slow.pause();
  const dropped = new Promise((resolve) => slow.once('close', resolve));
  slow.on('error', () => undefined);
  const quick = await listen(bounded);
  let sequence = 0;
  // What it never reads piles up in the sockets first; the kernel's buffers are large.
  for (; sequence < 200; sequence += 1) {
    await record(database.store, device, Date.now(), { sequence, readings });
    await quick.until(stateOf('talkative', sequence));
  }
  slow.resume();
  await expect(dropped).resolves.toBeDefined();
  await record(database.store, device, Date.now(), { sequence });
  await quick.until(stateOf('talkative', sequence));
  await bounded.close();
});
