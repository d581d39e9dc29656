import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ALLOWANCE } from '@paddock/cloud/monitoring/presence.ts';
import { candidates } from '@paddock/cloud/monitoring/queries.ts';
import { createWatch, type Watch } from '@paddock/cloud/monitoring/watch.ts';
import { retireDevice } from '@paddock/cloud/devices/registry.ts';
import type { Report } from '@paddock/shared/report.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { addDevices, hearAll } from '../../../harness/archive.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { CountedMetrics } from '../../../harness/ingest.ts';

const PERIOD = 300_000;
const HOUR = 3_600_000;

let database: FreshDatabase;
let clock: CloudClock;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  clock = new CloudClock(Date.UTC(2026, 10, 23));
  await database.store.query('TRUNCATE presence, notifications, listeners, device_state');
  await database.store.query('UPDATE fleet_watch SET silent_since = NULL, allowance_from = NULL');
});

const lines: { event?: string; deviceId?: string }[] = [];
const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line) as object) });

/** A round as an instance makes it that has the lease: it listens, and judges. */
type Rounds = Pick<Watch, 'reachable'> & { round(): Promise<unknown> };

function watch(listenerId = 'one'): Rounds {
  const now = async () => clock.wall();
  const { store } = database;
  const made = createWatch({ store, clock, metrics: new CountedMetrics(), log, listenerId, now });
  made.reachable(true);
  return { ...made, round: () => made.listen().then(() => made.judge(store, clock.wall())) };
}

let group = 0;
/** Devices of one test, already known to be online. */
async function fleet(size: number): Promise<string[]> {
  group += 1;
  const ids = Array.from({ length: size }, (_, n) => `g${group}-device-${n}`);
  await addDevices(database.store, ids);
  return ids;
}

const hear = (ids: readonly string[], fields: Partial<Report> = {}) =>
  hearAll(database.store, ids, clock.wall(), { nextWithinMs: PERIOD, ...fields });

/** Rounds at their usual pace, with devices that report as they should. */
async function pass(ms: number, rounds: readonly Rounds[], reporting: readonly string[] = []): Promise<void> {
  // Rounds every ten seconds find what rounds every two seconds find.
  for (let passed = 0; passed < ms; passed += 10_000) {
    clock.advance(10_000);
    if (passed % (PERIOD / 2) === 0 && reporting.length > 0) await hear(reporting);
    for (const one of rounds) await one.round();
  }
}

async function presences(ids: readonly string[]): Promise<Record<string, number>> {
  const rows = await database.store.query<{ state: string; count: number }>(
    `SELECT coalesce(state, 'never-seen') AS state, count(*) AS count
     FROM unnest($1::text[]) AS device_id LEFT JOIN presence USING (device_id) GROUP BY 1`,
    [ids],
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

async function notices(): Promise<string[]> {
  const rows = await database.store.query<{ said: string }>(
    `SELECT concat_ws(' ', type, device_id) AS said FROM notifications ORDER BY notification_id`,
  );
  return rows.map(({ said }) => said);
}

describe('one device of many', () => {
  test('falls silent, is lost once, and is back once, however many instances watch', async () => {
    const ids = await fleet(20);
    const [silent = '', ...others] = ids;
    const instances = [watch('one'), watch('two')];
    const heard: string[] = [];
    const stop = await database.store.listen('paddock_presence', (payload) => void heard.push(payload));
    lines.length = 0;
    await hear(ids);
    await pass(10_000, instances);
    expect(await presences(ids)).toEqual({ online: 20 });
    await pass(PERIOD + 20_000, instances, others);
    expect(await presences([silent])).toEqual({ late: 1 });
    await pass(3 * PERIOD, instances, others);
    expect(await presences([silent])).toEqual({ lost: 1 });
    expect(await presences(others)).toEqual({ online: 19 });
    await hear([silent]);
    await pass(60_000, instances, others);
    expect(await presences(ids)).toEqual({ online: 20 });
    expect(await notices()).toEqual([`device.lost ${silent}`, `device.back ${silent}`]);
    expect(lines.map(({ event, deviceId }) => [event, deviceId])).toEqual([
      ['device.lost', silent],
      ['device.back', silent],
    ]);
    await expect.poll(() => heard.length).toBe(20 + 3);
    expect(heard.map((payload) => JSON.parse(payload) as object)).toContainEqual(
      expect.objectContaining({ deviceId: silent, presence: 'lost', previous: 'late' }),
    );
    await stop();
  });

  test('is back when it is heard, although the clock was set back since it was lost', async () => {
    const [device = '', ...others] = await fleet(20);
    const now = clock.wall();
    clock.setWall(now + 24 * HOUR);
    await hear([device, ...others]);
    await pass(4 * PERIOD, [watch()], others);
    expect(await presences([device])).toEqual({ lost: 1 });
    clock.setWall(now);
    await hear([device, ...others]);
    await pass(10_000, [watch()], others);
    expect(await presences([device])).toEqual({ online: 1 });
  });

  test('says goodbye, and is offline, not lost', async () => {
    const ids = await fleet(3);
    const instances = [watch()];
    await hear(ids);
    await pass(10_000, instances);
    await hear(ids, { trigger: { kind: 'shutdown' }, sequence: 1 });
    await pass(2 * HOUR, instances);
    expect(await presences(ids)).toEqual({ offline: 3 });
    await hear(ids, { trigger: { kind: 'boot' }, start: 2, sequence: 0 });
    await pass(10_000, instances);
    expect(await presences(ids)).toEqual({ online: 3 });
    expect(await notices()).toEqual([]);
  });

  test('was never seen, and then is retired', async () => {
    const ids = await fleet(1);
    const instances = [watch()];
    await pass(HOUR, instances);
    expect(await presences(ids)).toEqual({ 'never-seen': 1 });
    const target = { deviceId: ids[0] ?? '', expectedVersion: null };
    await database.store.transaction((sql) => retireDevice(sql, { customerId: null }, 'test', target));
    await pass(10_000, instances);
    expect(await presences(ids)).toEqual({ retired: 1 });
  });
});

describe('nobody is lost', () => {
  test('while the broker is down for hours, nor when it is back', async () => {
    const ids = await fleet(20);
    const one = watch();
    await hear(ids);
    await pass(10_000, [one]);
    one.reachable(false);
    await pass(3 * HOUR, [one]);
    expect(await presences(ids)).toEqual({ online: 20 });
    one.reachable(true);
    await pass(PERIOD - 10_000, [one]);
    await hear(ids);
    await pass(60_000, [one]);
    expect(await presences(ids)).toEqual({ online: 20 });
    expect(await notices()).toEqual([]);
  });

  test('when one instance of several dies: the others listened all the time, and its row is forgotten', async () => {
    const ids = await fleet(12);
    const [dead, alive] = [watch('dead'), watch('alive')];
    const listeners = async () =>
      (await database.store.query<{ id: string }>('SELECT listener_id AS id FROM listeners ORDER BY 1')).map(
        ({ id }) => id,
      );
    await hear(ids);
    await pass(PERIOD - 20_000, [dead, alive]);
    await pass(10_000, [alive], ids);
    await pass(PERIOD / 2, [alive], ids);
    expect([await presences(ids), await listeners()]).toEqual([{ online: 12 }, ['alive', 'dead']]);
    await pass(HOUR, [alive], ids);
    expect([await presences(ids), await listeners()]).toEqual([{ online: 12 }, ['alive']]);
    expect(await notices()).toEqual([]);
  });

  test('while the cloud is down for hours, nor when it starts again', async () => {
    const ids = await fleet(5);
    await hear(ids);
    await pass(10_000, [watch()]);
    clock.advance(3 * HOUR);
    const restarted = watch('two');
    await pass(PERIOD, [restarted]);
    expect(await presences(ids)).toEqual({ online: 5 });
    await hear(ids.slice(1));
    await pass(4 * PERIOD, [restarted], ids.slice(1));
    expect(await presences(ids)).toEqual({ online: 4, lost: 1 });
  });

  test('when the wall clock of the cloud jumps', async () => {
    const ids = await fleet(5);
    const one = watch();
    await hear(ids);
    await pass(10_000, [one]);
    clock.setWall(clock.wall() + 24 * HOUR);
    await pass(PERIOD, [one]);
    expect(await presences(ids)).toEqual({ online: 5 });
    expect(await notices()).toEqual([]);
  });

  test('and what was lost before stays lost, when the broker comes back', async () => {
    const ids = await fleet(5);
    const [silent = '', ...others] = ids;
    const one = watch();
    await hear(ids);
    await pass(4 * PERIOD, [one], others);
    one.reachable(false);
    await pass(HOUR, [one]);
    one.reachable(true);
    await pass(10_000, [one]);
    expect(await presences([silent])).toEqual({ lost: 1 });
    expect(await notices()).toEqual([`device.lost ${silent}`]);
  });
});

describe('most of the fleet', () => {
  test('falls silent at once: one alarm, nobody lost, and a full allowance after it', async () => {
    const ids = await fleet(30);
    const [dead = '', ...rest] = ids;
    const instances = [watch('one'), watch('two')];
    await hear(ids);
    await pass(10_000, instances);
    await pass(2 * HOUR, instances);
    expect(await presences(ids)).toEqual({ late: 30 });
    expect(await notices()).toEqual(['fleet.silent']);
    await hear(rest.slice(0, 20));
    await pass(10_000, instances);
    expect(await notices()).toEqual(['fleet.silent', 'fleet.back']);
    expect(await presences(ids)).toEqual({ late: 10, online: 20 });
    await pass(PERIOD, instances, rest);
    expect(await presences(ids)).toEqual({ late: 1, online: 29 });
    await pass(3 * PERIOD, instances, rest);
    expect(await presences([dead])).toEqual({ lost: 1 });
    expect(await notices()).toEqual(['fleet.silent', 'fleet.back', `device.lost ${dead}`]);
  });
});

test('a round reads none of ten thousand devices that are well', async () => {
  const ids = await fleet(10_000);
  await hear(ids);
  const one = watch();
  await one.round();
  expect(await presences(ids)).toEqual({ online: 10_000 });
  clock.advance(PERIOD);
  await hear(ids.slice(1));
  const now = clock.wall();
  expect(await candidates(database.store, now, now, false, ALLOWANCE)).toEqual([]);
  clock.advance(ALLOWANCE.graceMs + 1);
  const since = wallMs(now - PERIOD);
  const looked = await candidates(database.store, since, clock.wall(), false, ALLOWANCE);
  expect(looked.map(({ deviceId }) => deviceId)).toEqual(ids.slice(0, 1));
});
