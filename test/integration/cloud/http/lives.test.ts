import { setTimeout as sleep } from 'node:timers/promises';
import { Errors } from 'typebox/schema';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TimeView } from '@paddock/cloud/devices/placement.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { TestDevice } from '../../../harness/device.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { Life } from '../../../harness/life.ts';

let database: FreshDatabase;
let ingest: TestIngest;
let http: TestHttp;
const devices: TestDevice[] = [];
beforeAll(async () => {
  database = await freshDatabase();
  ingest = await startIngest(database.store);
  http = await startHttp(database.store);
});
afterAll(async () => {
  for (const device of devices) await device.close();
  await http.close();
  await ingest.close();
  await database.drop();
});

async function deviceNamed(deviceId: string): Promise<TestDevice> {
  const device = await TestDevice.register(database.store, deviceId, ingest.cloudKey);
  devices.push(device);
  return device.connect(ingest.url);
}

const list = async (deviceId: string, what: string, query = '') =>
  (await http.call('GET', `/api/v1/devices/${deviceId}/${what}${query}`)).items;
const door = (changes: number, changedAgoMs: number, value: boolean | null = true) => ({
  door: { value, ageMs: 0, changes, changedAgoMs, ...(value === null && { quality: 'bad' as const, reason: 'stale' }) },
});

const timeOf = (item: Record<string, unknown> | undefined) => Object(item?.['time']) as TimeView;

function expectAround(time: unknown, truth: number, withinMs: number): void {
  const { earliest, latest } = time as TimeView;
  expect(Date.parse(String(earliest))).toBeLessThanOrEqual(truth);
  expect(Date.parse(latest)).toBeGreaterThanOrEqual(truth);
  expect(Date.parse(latest) - Date.parse(String(earliest))).toBeLessThan(withinMs);
}

test('a change is told once, with its moment as it is known now, and says what was never told before it', async () => {
  const life = new Life(await deviceNamed('kiosk-changes'), 1);
  const changedAt = Date.now() - 5_000;
  const exchange = await life.report({ readings: door(1, 5_000, null) });
  const [first] = await list('kiosk-changes', 'changes');
  expect(first).toMatchObject({ sensor: 'door', value: null, changes: 1, unseen: 0, start: 1, bootId: life.bootId });
  expect(first?.['time']).toMatchObject({ earliest: null });
  const kept = await database.store.query('SELECT earliest, latest FROM changes');

  await life.report({ readings: door(1, Date.now() - changedAt), exchanges: [exchange] });
  await life.report({
    readings: { ...door(4, 20, false), lamp: { value: 'on', ageMs: 0, changes: 1, changedAgoMs: 10 } },
  });
  const items = await list('kiosk-changes', 'changes');
  expect(items.map(({ sensor, changes, unseen, value }) => [sensor, changes, unseen, value])).toEqual([
    ['lamp', 1, 0, 'on'],
    ['door', 4, 2, false],
    ['door', 1, 0, true],
  ]);
  expect(items[2]?.['time']).toMatchObject({ basis: 'exchanged' });
  expectAround(items[2]?.['time'], changedAt, 2_000);
  expect(
    await database.store.query("SELECT earliest, latest FROM changes WHERE sensor = 'door' AND changes = 1"),
  ).toEqual(kept);

  expect(await list('kiosk-changes', 'changes', '?sensor=lamp')).toHaveLength(1);
  const between = `?from=${new Date(changedAt - 1_000).toISOString()}&to=${new Date(changedAt + 4_000).toISOString()}`;
  expect((await list('kiosk-changes', 'changes', between)).length).toBeLessThan(3);
});

test('a boot that never exchanged lies between its neighbours, and its wall clock is believed when they prove it', async () => {
  const device = await deviceNamed('kiosk-neighbours');
  const began = Date.now() - 60_000;
  const before = new Life(device, 1);
  const exchange = await before.report({ wallMs: Date.now() });
  await before.report({ wallMs: Date.now(), exchanges: [exchange] });
  const sureAfter = Date.now();
  const silent = new Life(device, 2, 20);
  const silentAt = Date.now();
  await silent.report({ readings: door(1, 10) });
  const [change] = await list('kiosk-neighbours', 'changes');
  expect(change?.['time']).toMatchObject({ basis: 'neighbour' });
  const earliest = Date.parse(String(timeOf(change).earliest));
  expect(earliest).toBeGreaterThan(sureAfter - 2_000);
  expect(earliest).toBeLessThanOrEqual(silentAt);
  const state = await http.call('GET', '/api/v1/devices/kiosk-neighbours/state');
  expect(state.body['time']).toMatchObject({ basis: 'neighbour' });
  const shown = await http.call('GET', '/api/v1/devices/kiosk-neighbours');
  expect((shown.body['lastReport'] as { time: TimeView }).time).toEqual(state.body['time']);

  const right = new Life(device, 3, 20);
  await right.report({ wallMs: Date.now() });
  const [newest, beforeIt] = await list('kiosk-neighbours', 'reports');
  expect(newest?.['time']).toMatchObject({ basis: 'device-clock' });
  expect(beforeIt?.['time']).toMatchObject({ basis: 'neighbour' });
  const clocks = await list('kiosk-neighbours', 'clocks');
  expect(clocks.map((clock) => [clock['start'], clock['exchanged']])).toEqual([
    [3, false],
    [2, false],
    [1, true],
  ]);
  expectAround(clocks[2]?.['began'], began, 3_000);
});

test('a boot ends with its newest report, whether or not that taught anything of its clock', async () => {
  const device = await deviceNamed('kiosk-last');
  const before = new Life(device, 1);
  const exchange = await before.report();
  await before.report({ exchanges: [exchange] });
  const taught = before.uptimeMs;
  await sleep(400);
  // Held up for long on its way: its arrival says nothing new.
  const { bootId } = before;
  const late = before.uptimeMs;
  await sleep(600);
  await before.report({ uptimeMs: late });
  const [row] = await database.store.query<{ u: number }>(
    `SELECT (record ->> 'u')::int AS u FROM clocks WHERE device_id = 'kiosk-last'`,
  );
  expect(row?.u).toBeLessThanOrEqual(taught);
  await new Life(device, 2, 5).report();
  const [next, clock] = await list('kiosk-last', 'clocks');
  expect(clock).toMatchObject({ bootId, lastUptimeMs: late });
  const floor = Date.parse(String((Object(next?.['began']) as TimeView).earliest));
  expect(floor).toBe(Date.parse(String((Object(clock?.['last']) as TimeView).earliest)));
});

test('what a start recorded, dropped and misses is counted, and heals when it comes late', async () => {
  const life = new Life(await deviceNamed('kiosk-gaps'), 7);
  await life.report();
  life.skip(4);
  await life.report({ outbox: { waiting: 3, droppedRoutine: 1, droppedEvents: 0 } });
  const missing = { recorded: 2, newestSequence: 5, missing: 4, droppedRoutine: 1, lostOrOnTheWay: 3 };
  expect(await list('kiosk-gaps', 'starts')).toMatchObject([{ start: 7, ordinal: 1, bootId: life.bootId, ...missing }]);
  const { body } = await http.call('GET', '/api/v1/devices/kiosk-gaps');
  expect(body['delivery']).toMatchObject({ ...missing, waiting: 3, refused: 0, abandoned: 0 });

  // One that contradicts the order is refused for ever, and explains what is missing; another one comes late.
  await life.report({ sequence: 2, uptimeMs: 10_000_000 });
  await life.report({ sequence: 1, uptimeMs: 60_000 });
  const [start] = await list('kiosk-gaps', 'starts');
  expect(start).toMatchObject({ recorded: 3, newestSequence: 5, missing: 3, refused: 1, lostOrOnTheWay: 1 });
});

test('the clock of a device is shown: how far off it is, how fast it runs, what was wrong with it', async () => {
  const life = new Life(await deviceNamed('kiosk-clock'), 1);
  const dead = 1_000;
  const exchange = await life.report({ wallMs: dead });
  await life.report({ wallMs: dead + 100, exchanges: [exchange] });
  const stepped = await life.report({ wallMs: Date.now() + 5_000 });
  await life.report({ wallMs: Date.now() + 5_000, exchanges: [stepped] });
  const { body } = await http.call('GET', '/api/v1/devices/kiosk-clock');
  const clock = body['clock'] as Record<string, unknown>;
  expect(clock).toMatchObject({ wrongAtBoot: true, steps: 1, contradictions: 0, unsteady: false, wanderPpm: 15 });
  expect(Math.abs(Number(clock['skewMs']) - 5_000)).toBeLessThan(1_000);
  expect(Number(clock['skewErrorMs'])).toBeGreaterThan(100);
  expect(Number(clock['lastExchangeAgeMs'])).toBeLessThan(60_000);
  // Two exchanges within a second teach nothing.
  expect(clock['driftPpm']).toBeNull();
  expect((clock['faults'] as { code: string }[]).map(({ code }) => code)).toEqual([
    'wall_wrong_at_boot',
    'wall_stepped',
  ]);
  const [listed] = await list('kiosk-clock', 'clocks');
  expect(listed).toMatchObject({ bootId: life.bootId, segment: 0, steps: 1, exchanged: true, faults: clock['faults'] });
});

test('pages stay what they are while more arrives and clocks learn', async () => {
  const device = await deviceNamed('kiosk-pages');
  for (let start = 1; start <= 5; start += 1) await new Life(device, start, 2_000).report({ readings: door(1, start) });
  for (const [what, key] of [
    ['changes', 'start'],
    ['starts', 'start'],
    ['clocks', 'start'],
  ] as const) {
    const before = (await list('kiosk-pages', what)).map((item) => item[key]);
    const seen: unknown[] = [];
    let cursor = '';
    for (let page = 0; page < 20; page += 1) {
      const { body, items } = await http.call('GET', `/api/v1/devices/kiosk-pages/${what}?limit=2${cursor}`);
      seen.push(...items.map((item) => item[key]));
      const newer = new Life(device, Number(before[0]) + 1 + page, 2_000);
      await newer.report({ readings: door(1, 1), exchanges: [await newer.report()] });
      if (typeof body['next'] !== 'string') break;
      cursor = `&cursor=${encodeURIComponent(body['next'])}`;
    }
    expect(seen).toEqual(before);
  }
});

test('the document describes just what is answered', async () => {
  const life = new Life(await deviceNamed('kiosk-documented'), 1);
  const exchange = await life.report({ wallMs: 1_000, readings: door(1, 5) });
  await life.report({ wallMs: 1_100, exchanges: [exchange], readings: door(3, 5), outbox: OUTBOX });
  const { paths } = http.app.document() as { paths: Record<string, Record<string, Described>> };
  for (const what of ['', '/changes', '/starts', '/clocks']) {
    const path = `/api/v1/devices/{deviceId}${what}`;
    const { body } = await http.call('GET', path.replace('{deviceId}', 'kiosk-documented'));
    const schema = paths[path]?.['get']?.responses['200'].content['application/json'].schema;
    expect(Errors(schema ?? false, body)[1], path).toEqual([]);
    expect(undescribed(body, schema), path).toEqual([]);
  }
});

interface Shape {
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
}
interface Described {
  readonly responses: {
    readonly 200: { readonly content: { readonly 'application/json': { readonly schema: Shape } } };
  };
}
const OUTBOX = { waiting: 1, droppedRoutine: 0, droppedEvents: 0 };

/** Paths of what is answered and stands in no schema. */
function undescribed(value: unknown, shape: Shape | undefined, path = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => undescribed(one, shape?.items, `${path}/*`));
  if (typeof value !== 'object' || value === null) return [];
  const { properties } = shape?.anyOf?.find((one) => one.properties !== undefined) ?? shape ?? {};
  if (properties === undefined) return shape?.anyOf || shape?.items ? [path] : [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key in properties ? undescribed(inner, properties[key], `${path}/${key}`) : [`${path}/${key}`],
  );
}

test('nothing is told to others, and bad questions are refused', async () => {
  await deviceNamed('kiosk-private');
  const token = await http.tokenOf('stranger');
  const forged = (key: unknown[]) => Buffer.from(JSON.stringify(key)).toString('base64url');
  const huge = Number.MAX_SAFE_INTEGER;
  const cursors = {
    changes: ['2026-01-01T00:00:00.000Z', 'x', huge, 'y', huge],
    starts: [huge, huge],
    clocks: [huge, huge, huge],
  };
  for (const [what, key] of Object.entries(cursors)) {
    const path = `/api/v1/devices/kiosk-private/${what}`;
    expect((await http.call('GET', path, { token })).status).toBe(404);
    expect((await http.call('GET', `/api/v1/devices/kiosk-none/${what}`)).status).toBe(404);
    expect((await http.call('GET', `${path}?cursor=${forged(key)}`)).status).toBe(200);
    for (const cursor of [
      'x',
      forged([]),
      forged([...key, 1]),
      forged(key.map(() => -1)),
      forged(['2026-02-31T00:00:00.000Z', 'x', 1, 'y', 1]),
    ]) {
      const refused = await http.call('GET', `${path}?cursor=${cursor}`);
      expect([what, cursor, refused.status]).toEqual([what, cursor, 400]);
    }
    expect((await http.call('GET', `${path}?limit=0`)).body['code']).toBe('request_invalid');
    expect((await http.call('GET', `${path}?unknown=1`)).body['code']).toBe('request_invalid');
  }
  const changes = '/api/v1/devices/kiosk-private/changes';
  expect((await http.call('GET', `${changes}?sensor=${encodeURIComponent('Door!')}`)).status).toBe(400);
  expect((await http.call('GET', `${changes}?from=yesterday`)).status).toBe(400);
});
