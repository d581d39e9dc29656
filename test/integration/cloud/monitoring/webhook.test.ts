import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { webhookPoster } from '@paddock/cloud/adapters/webhook.ts';
import { addAlarms } from '@paddock/cloud/ingest/alarms.ts';
import { addNotices, leaseDeliveries, settleDelivery } from '@paddock/cloud/monitoring/notifications.ts';
import { importWebhookSecret } from '@paddock/cloud/monitoring/signature.ts';
import { COURIER_SETTINGS, createCourier, type Courier } from '@paddock/cloud/monitoring/webhook.ts';
import { addDevice } from '../../../harness/archive.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { CountedMetrics } from '../../../harness/ingest.ts';

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const secret = randomBytes(32);
let database: FreshDatabase;
let receiver: Server;
let clock: CloudClock;
let metrics: CountedMetrics;
let received: Received[];
/** What the receiver answers, in turn; 204 when there is nothing more. */
let answers: (number | 'nothing')[];

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  received = [];
  answers = [];
  clock = new CloudClock(Date.UTC(2026, 10, 23));
  metrics = new CountedMetrics();
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      const status = answers.shift() ?? 204;
      if (status !== 'nothing') response.writeHead(status, { location: '/elsewhere' }).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  await database.store.query('TRUNCATE notifications');
});
afterEach(async () => {
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

async function courier(maxAttempts = COURIER_SETTINGS.maxAttempts): Promise<Courier> {
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  return createCourier({
    store: database.store,
    clock,
    now: async () => clock.wall(),
    metrics,
    log: pino({ level: 'silent' }),
    poster: webhookPoster(url, 200),
    key: await importWebhookSecret(`whsec_${secret.toString('base64')}`),
    settings: { ...COURIER_SETTINGS, maxAttempts },
  });
}

const lost = (deviceId: string) =>
  addNotices(database.store, [
    { type: 'device.lost', occurredAt: clock.wall(), deviceId: null, customerId: 'default', data: { deviceId } },
  ]);
const deliver = async (one: Courier) => one.deliverDue(new AbortController().signal);

test('a notice arrives once, signed', async () => {
  await lost('kiosk-1');
  const instances = await Promise.all([courier(), courier()]);
  await Promise.all(instances.map(deliver));
  await Promise.all(instances.map(deliver));
  expect(received).toHaveLength(1);
  const [{ headers, body } = { headers: {}, body: '' }] = received;
  expect(JSON.parse(body)).toEqual({
    type: 'device.lost',
    timestamp: '2026-11-23T00:00:00.000Z',
    data: { deviceId: 'kiosk-1' },
  });
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', secret).update(signed).digest('base64')}`);
  expect(Number(headers['webhook-timestamp'])).toBe(clock.wall() / 1000);
  expect(metrics.of('paddock_webhook_deliveries_total', 'delivered')).toBe(1);
});

test('an alarm about a device says whose it is, and is told once an hour however often it is raised', async () => {
  await addDevice(database.store, 'kiosk-clone');
  const data = { deviceId: 'kiosk-clone', code: 'two_live_starts', detail: 'x', start: 3 };
  const raise = () =>
    addAlarms(
      database.store,
      [
        { type: 'device.clone', data },
        { type: 'device.clone', data },
      ],
      clock.wall(),
    );
  expect(await raise()).toHaveLength(1);
  clock.advance(3_599_000);
  expect(await raise()).toEqual([]);
  await deliver(await courier());
  expect(received.map(({ body }) => JSON.parse(body))).toEqual([
    {
      type: 'device.clone',
      timestamp: '2026-11-23T00:00:00.000Z',
      data: { ...data, customerId: 'default', name: 'kiosk-clone' },
    },
  ]);
  clock.advance(2_000);
  expect(await raise()).toHaveLength(1);
});

test('a failed delivery is tried again later under the same id, also by the next start', async () => {
  answers = [500, 302, 'nothing'];
  await lost('kiosk-2');
  expect(await deliver(await courier())).toBe(1);
  expect(await deliver(await courier())).toBe(0);
  for (const waitMs of [5_000, 10_000, 20_000]) {
    clock.advance(waitMs - 1);
    expect(await deliver(await courier())).toBe(0);
    clock.advance(1);
    expect(await deliver(await courier())).toBe(1);
  }
  clock.advance(86_400_000);
  expect(await deliver(await courier())).toBe(0);
  expect(received).toHaveLength(4);
  expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(metrics.of('paddock_webhook_deliveries_total', 'retry')).toBe(3);
});

test('what can never be delivered is given up, and says so', async () => {
  answers = [500, 500, 500, 500];
  await lost('kiosk-3');
  for (let n = 0; n < 5; n += 1) {
    await deliver(await courier(3));
    clock.advance(86_400_000);
  }
  expect(received).toHaveLength(3);
  expect(metrics.of('paddock_webhook_deliveries_total', 'given_up')).toBe(1);
  const rows = await database.store.query(
    'SELECT attempts, last_error FROM notifications WHERE given_up_at IS NOT NULL',
  );
  expect(rows).toEqual([{ attempts: 3, last_error: 'answered 500' }]);
});

test('a delivery that died on the way is taken up again when its lease is over', async () => {
  await lost('kiosk-4');
  await database.store.query('UPDATE notifications SET attempts = 1, next_attempt_at = $1', [
    new Date(clock.wall() + COURIER_SETTINGS.leaseMs),
  ]);
  expect(await deliver(await courier())).toBe(0);
  clock.advance(COURIER_SETTINGS.leaseMs);
  expect(await deliver(await courier())).toBe(1);
  expect(received).toHaveLength(1);
});

test('an instance that stood still until another one took its notice over settles nothing', async () => {
  const [start, leaseMs] = [clock.wall(), 1_000];
  await addNotices(database.store, [
    { type: 'fleet.silent', occurredAt: start, deviceId: null, customerId: null, data: {} },
  ]);
  const [overtaken] = await leaseDeliveries(database.store, start, leaseMs, 1);
  clock.advance(leaseMs);
  const [taken] = await leaseDeliveries(database.store, clock.wall(), leaseMs, 1);
  if (overtaken === undefined || taken === undefined) throw new Error('Nothing was due');
  const outcome = { outcome: 'given_up', error: 'from the past' } as const;
  await settleDelivery(database.store, overtaken, outcome, clock.wall());
  const settled = () => database.store.query('SELECT given_up_at, delivered_at IS NOT NULL AS done FROM notifications');
  expect(await settled()).toEqual([{ given_up_at: null, done: false }]);
  await settleDelivery(database.store, taken, { outcome: 'delivered' }, clock.wall());
  await settleDelivery(database.store, taken, outcome, clock.wall());
  expect(await settled()).toEqual([{ given_up_at: null, done: true }]);
});
