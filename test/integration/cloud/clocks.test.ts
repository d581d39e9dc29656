import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Answer } from '@paddock/shared/answer.ts';
import type { Report } from '@paddock/shared/report.ts';
import { wallMs } from '@paddock/shared/time.ts';
import type { AuthenticReport } from '@paddock/cloud/ingest/authenticate.ts';
import { recordBatch } from '@paddock/cloud/ingest/record.ts';
import { SeenChanges } from '@paddock/cloud/ingest/seen-changes.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { startIngest, type TestIngest } from '../../harness/ingest.ts';
import { reportOf } from '../../harness/reports.ts';
import { makeTestKey, type TestKey } from '../../harness/signing.ts';

const HOUR = 3_600_000;
let database: FreshDatabase;
let cloud: TestIngest;
let cloudKey: TestKey;
let device: TestDevice;
let devices = 0;
let asks = 0;

beforeAll(async () => {
  cloudKey = await makeTestKey();
  database = await freshDatabase();
  cloud = await startIngest(database.store, { cloudKey });
});
beforeEach(async () => {
  device = await TestDevice.register(database.store, `clock-${(devices += 1)}`, cloudKey);
  await device.connect(cloud.url);
});
afterEach(() => device.close());
afterAll(async () => {
  await cloud.close();
  await database.drop();
});

/** A boot of the device that began so long ago, with a clock that counts from there. */
function boot(id: string, beganAgoMs: number, fields: Partial<Report> = {}) {
  const beganAt = Date.now() - beganAgoMs;
  let sequence = 0;
  const uptime = (): number => Date.now() - beganAt;
  return {
    uptime,
    async report(
      more: Partial<Report> = {},
    ): Promise<{ answer: Answer; exchange: NonNullable<Report['exchanges']>[0] }> {
      const ask = `bm9uY2Ut${(asks += 1)}`.padEnd(14, 'A');
      const requestUptimeMs = uptime();
      const made = { boot: { id }, sequence: sequence++, uptimeMs: uptime(), readings: {}, ask, ...fields, ...more };
      await device.report(made);
      const answer = await device.answer(({ nonce }) => nonce === ask);
      const { receivedAt, sentAt } = answer;
      return { answer, exchange: { requestUptimeMs, receivedAt, sentAt, responseUptimeMs: uptime() } };
    },
  };
}

const rows = <Row extends object>(sql: string) => database.store.query<Row>(sql, [device.deviceId]);
const alarms = async () =>
  (
    await rows<{ type: string; code: string }>(
      `SELECT type, data ->> 'code' AS code FROM notifications WHERE device_id = $1 ORDER BY notification_id`,
    )
  ).map(({ type, code }) => `${type} ${code}`);

test('an exchange places a report of the boot from both sides, and a change hours before it', async () => {
  const today = boot('boot-a', 10 * HOUR);
  const { exchange } = await today.report();
  const door = { value: true, ageMs: 5, changes: 4, changedAgoMs: 2 * HOUR };
  const sentAt = Date.now();
  await today.report({ exchanges: [exchange], readings: { door } });
  const [, report] = await rows<{ earliest: Date; latest: Date; basis: string }>(
    'SELECT earliest, latest, basis FROM reports WHERE device_id = $1 ORDER BY sequence',
  );
  expect(report?.basis).toBe('exchanged');
  expect(report?.earliest.getTime()).toBeLessThanOrEqual(sentAt + 1);
  expect(report?.latest.getTime()).toBeGreaterThanOrEqual(sentAt);
  const [change] = await rows<{ sensor: string; changes: number; value: unknown; earliest: Date; latest: Date }>(
    'SELECT sensor, changes, value, earliest, latest FROM changes WHERE device_id = $1',
  );
  expect(change).toMatchObject({ sensor: 'door', changes: 4, value: true });
  const changedAt = sentAt - 2 * HOUR;
  expect(change?.earliest.getTime()).toBeLessThanOrEqual(changedAt + 1);
  expect(change?.latest.getTime()).toBeGreaterThanOrEqual(changedAt);
  // Two hours at 200 ppm on either side, and the error of the cloud's clock.
  expect((change?.latest.getTime() ?? 0) - (change?.earliest.getTime() ?? 0)).toBeLessThan(8000);
  expect(await alarms()).toEqual([]);
});

test('a change is stored once, however many reports tell of it, and gets its value from the first that has one', async () => {
  const today = boot('boot-a', HOUR);
  const told = (value: boolean | null, changes = 7) => ({
    lock: { value, ageMs: 5, changes, changedAgoMs: today.uptime() - 1000 },
  });
  await today.report({ readings: told(null) });
  await today.report({ readings: told(true) });
  await today.report({ readings: told(true) });
  // Another instance, which has never heard of it.
  const other = await startIngest(database.store, { cloudKey });
  await device.connect(other.url);
  await today.report({ readings: told(true) });
  await today.report({ readings: told(false, 8) });
  const found = await rows<{ changes: number; value: unknown; uptime_ms: number }>(
    'SELECT changes, value, uptime_ms FROM changes WHERE device_id = $1 ORDER BY changes',
  );
  expect(found.map(({ changes, value }) => [changes, value])).toEqual([
    [7, true],
    [8, false],
  ]);
  await device.close();
  await device.connect(cloud.url);
  await other.close();
});

test('exchanges that cannot be are left out, counted and told, and the report is recorded all the same', async () => {
  const today = boot('boot-a', HOUR);
  const { exchange } = await today.report();
  const earlier = new Date(Date.parse(exchange.sentAt) - 60_000).toISOString();
  const later = new Date(Date.now() + HOUR).toISOString();
  const bad = {
    exchange_backwards: { ...exchange, responseUptimeMs: exchange.requestUptimeMs - 5 },
    exchange_future: { ...exchange, sentAt: later },
    exchange_contradicts: { ...exchange, receivedAt: earlier },
  };
  for (const [code, lie] of Object.entries(bad)) {
    const before = cloud.metrics.of('paddock_clock_faults_total', code);
    const { answer } = await today.report({ exchanges: [lie] });
    expect(answer.rejected).toEqual([]);
    expect([code, cloud.metrics.of('paddock_clock_faults_total', code)]).toEqual([code, before + 1]);
  }
  expect(await alarms()).toEqual(Object.keys(bad).map((code) => `device.clock ${code}`));
  const [clock] = await rows<{ record: { e: [number, number, [number, number, number, number[], number[]]] } }>(
    'SELECT record FROM clocks WHERE device_id = $1',
  );
  // No bound from below came of them.
  expect(clock?.record.e[2][4]).toEqual([]);
});

test('a jump of the uptime harms no other report, and is told once', async () => {
  const today = boot('boot-a', HOUR);
  const { exchange } = await today.report();
  await today.report({ exchanges: [exchange] });
  for (const years of [1, 280_000])
    await today.report({ uptimeMs: Math.min(years * 365 * 24 * HOUR, Number.MAX_SAFE_INTEGER) });
  const { answer } = await today.report();
  expect(answer).toMatchObject({ recorded: [[0, 4]], rejected: [] });
  expect(await alarms()).toEqual(['device.clock clock_contradiction']);
  const placed = await rows<{ basis: string; width: number }>(
    `SELECT basis, extract(epoch FROM latest - earliest)::float8 AS width FROM reports WHERE device_id = $1 ORDER BY sequence`,
  );
  expect(placed[4]?.basis).toBe('exchanged');
  expect(placed[4]?.width).toBeLessThan(1);
});

test('a dead battery is told when the first exchange proves it, and a clock that is set, too', async () => {
  const today = boot('boot-a', HOUR);
  const at1970 = (): Partial<Report> => ({ wallMs: today.uptime() });
  const { exchange } = await today.report(at1970());
  await today.report({ exchanges: [exchange], ...at1970() });
  await today.report({ wallMs: Date.now() });
  expect(await alarms()).toEqual(['device.clock wall_wrong_at_boot', 'device.clock wall_stepped']);
});

test('two starts that are both alive are a clone; a late report of an older start is none', async () => {
  const first = boot('boot-a', 2 * HOUR, { start: 1 });
  const { exchange } = await first.report();
  const uptimeMs = first.uptime();
  await first.report({ sequence: 5, exchanges: [exchange] });
  const second = boot('boot-b', 1000, { start: 2 });
  await second.report();
  // Made before the second start began, and late.
  await first.report({ sequence: 3, uptimeMs });
  expect(await alarms()).toEqual([]);
  // The cloud's clock may be wrong by 100 ms: that far the two must be apart.
  await sleep(400);
  const { exchange: again } = await first.report({ sequence: 8 });
  await first.report({ sequence: 9, exchanges: [again] });
  expect(await alarms()).toEqual(['device.clone two_live_starts']);
});

test('a start that is recorded with what waited longer began no sooner, and a late report before it is no clone', async () => {
  const sentAt = Date.now() - HOUR;
  const first = boot('boot-a', 2 * HOUR, { start: 1 });
  const { exchange } = await first.report();
  await first.report({ exchanges: [exchange] });
  const message = (fields: Partial<Report>, receivedAt: number): AuthenticReport => {
    const report = reportOf({ device: device.deviceId, readings: {}, ...fields });
    const digest = Buffer.from(`${report.start} ${report.sequence}`.padEnd(32)).toString('base64url');
    return {
      deviceId: device.deviceId,
      report,
      envelope: 'e',
      digest,
      receivedAt: wallMs(receivedAt),
      payloadBytes: 1,
    };
  };
  const record = (...batch: AuthenticReport[]) => recordBatch(database.store, batch, () => 100, new SeenChanges());
  const at = (uptimeMs: number, sequence: number) => ({ start: 1, boot: { id: 'boot-a' }, uptimeMs, sequence });
  const now = first.uptime();
  // The database was away for half an hour: what arrived at its beginning and at its end is one batch.
  await record(
    message(at(now, 2), sentAt + HOUR),
    message({ start: 2, boot: { id: 'boot-b' }, uptimeMs: 1000, sequence: 0 }, sentAt + 1.5 * HOUR),
  );
  await record(message(at(now + HOUR / 4, 4), sentAt + 1.6 * HOUR));
  expect(await alarms()).toEqual([]);
  const [, second] = await rows<{ first_received_at: Date }>(
    'SELECT first_received_at FROM starts WHERE device_id = $1 ORDER BY start',
  );
  expect(second?.first_received_at.getTime()).toBe(sentAt + 1.5 * HOUR);
  // What arrived earlier and is recorded later does not set the boot's last arrival back.
  await record(message(at(now - 1, 1), sentAt + 0.5 * HOUR), message(at(now + 1, 3), sentAt + 0.7 * HOUR));
  await record(message(at(now + HOUR / 4 + 1, 5), sentAt + 0.8 * HOUR));
  const [begun] = await rows<{ last_received_at: Date }>(
    'SELECT last_received_at FROM boots WHERE device_id = $1 ORDER BY boot_id',
  );
  expect(begun?.last_received_at.getTime()).toBe(sentAt + 1.6 * HOUR);
});

test('a late report that its clock places before every calendar is recorded', async () => {
  const end = Number.MAX_SAFE_INTEGER - 1000;
  const today = boot('boot-a', HOUR);
  const { exchange } = await today.report({ sequence: 10, uptimeMs: end - 100 });
  const told = { ...exchange, requestUptimeMs: end - 100, responseUptimeMs: end - 50 };
  await today.report({ sequence: 20, uptimeMs: end, exchanges: [told] });
  const { answer } = await today.report({ sequence: 5, uptimeMs: 0 });
  expect(answer.recorded).toContainEqual([5, 5]);
});

test('an alarm that a clock ahead of time told does not keep later ones quiet', async () => {
  const today = boot('boot-a', HOUR);
  await today.report();
  await today.report({ incarnation: 'BBBBBBBBBBB', sequence: 0 });
  await rows(`UPDATE notifications SET occurred_at = occurred_at + interval '1 year' WHERE device_id = $1`);
  await today.report({ incarnation: 'CCCCCCCCCCC', sequence: 0 });
  await today.report({ incarnation: 'DDDDDDDDDDD', sequence: 0 });
  expect(await alarms()).toHaveLength(2);
});

test('a copy of a disk in the same boot, as of a virtual machine, is a clone too', async () => {
  const first = boot('boot-a', 2 * HOUR, { start: 1 });
  await first.report();
  await boot('boot-a', HOUR, { start: 2 }).report({ uptimeMs: first.uptime() });
  await sleep(20);
  const { answer } = await first.report();
  expect(answer.rejected).toMatchObject([{ sequence: 1, code: 'uptime_backwards' }]);
  expect(await alarms()).toEqual(['device.clone uptime_backwards']);
});

test('a lost state file begins a new life, which is told', async () => {
  const today = boot('boot-a', HOUR);
  await today.report();
  await today.report({ incarnation: 'BBBBBBBBBBB', sequence: 0 });
  expect(await alarms()).toEqual(['device.new-incarnation new_incarnation']);
});

test('what the outbox dropped is told apart from what the network lost', async () => {
  const today = boot('boot-a', HOUR);
  await today.report();
  await today.report({ sequence: 10, outbox: { waiting: 1, droppedRoutine: 6, droppedEvents: 1 } });
  const [start] = await rows<object>(
    'SELECT recorded::text, dropped_routine, dropped_events, abandoned FROM starts WHERE device_id = $1',
  );
  expect(start).toEqual({ recorded: '{[0,1),[10,11)}', dropped_routine: 6, dropped_events: 1, abandoned: 0 });
});
