import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { createWatch } from '@paddock/cloud/monitoring/watch.ts';
import { listCrashes, oneCrash } from '@paddock/cloud/crashes/views.ts';
import { listStarts } from '@paddock/cloud/devices/delivery.ts';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import type { Began } from '@paddock/shared/began.ts';
import type { Crash } from '@paddock/shared/crash.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { BOTH_BROKERS, startBroker, type TestBroker } from '../../harness/brokers.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { CountedMetrics, startIngest, type TestIngest } from '../../harness/ingest.ts';
import { reportOf } from '../../harness/reports.ts';
import { makeTestKey } from '../../harness/signing.ts';

const NONCE = 'bm9uY2Utbm9uY2U';
const PAGE = { limit: 50, cursor: undefined };
const boot = { id: 'boot-2' };
const idOf = (n: number): string => `crash-${n}`.padEnd(22, 'x');

const began: Began = {
  agent: { reason: 'agent_crash', basedOn: ['uncaught-error'], detail: 'TypeError' },
  before: { start: 1, boot: { id: reportOf().boot.id }, uptimeMs: 80_500, ranMs: 1_500 },
};

describe.each(BOTH_BROKERS)('crash reports through %s', (name) => {
  let database: FreshDatabase;
  let broker: TestBroker;
  let cloud: TestIngest;
  let device: TestDevice;
  let devices = 0;

  beforeAll(async () => {
    database = await freshDatabase();
    broker = await startBroker(name);
    cloud = await startIngest(database.store, { on: broker });
  });
  beforeEach(async () => {
    device = await TestDevice.register(database.store, `kiosk-${(devices += 1)}`, cloud.cloudKey);
    await device.connect(cloud);
    return () => device.close();
  });
  afterAll(async () => {
    await cloud.close();
    await broker.stop();
    await database.drop();
  });

  const outcomes = ['new', 'repeated', 'too-often', 'refused', 'failed'] as const;
  const counts = (): number[] => outcomes.map((outcome) => cloud.metrics.of('paddock_crashes_total', outcome));
  const crashOf = (fields: object = {}): Crash => ({
    v: 1,
    device: device.deviceId,
    id: idOf(1),
    incarnation: reportOf().incarnation,
    start: 2,
    boot,
    uptimeMs: 900,
    began,
    breadcrumbs: [{ uptimeMs: 80_500, level: 'info', what: 'Connected' }],
    ...fields,
  });
  const sealed = (fields: object = {}, key = device.key): Promise<string> =>
    seal('crash', crashOf(fields), key.signing, deflater);
  /** Sends something on the topic of crash reports. @returns what became of it */
  const send = async (payload: string): Promise<string | undefined> => {
    const before = counts();
    await device.publish(payload, topicOf('crash', device.deviceId));
    for (;;) {
      const at = counts().findIndex((count, index) => count !== before[index]);
      if (at >= 0) return outcomes[at];
      await sleep(5);
    }
  };
  const reading = () => ({ sql: database.store, inflater, cloudErrorMs: () => 100 });
  const shown = async () => (await listCrashes(reading(), ALL_CUSTOMERS, device.deviceId, PAGE)).items;
  const notices = (type: string): Promise<{ data: Record<string, unknown> }[]> =>
    database.store.query('SELECT data FROM notifications WHERE type = $1 AND device_id = $2', [type, device.deviceId]);
  const answered = async (start: number, fields: object = {}) => {
    await device.report({ ask: NONCE, start, ...fields });
    return device.answer((answer) => answer.start === start);
  };

  it('are recorded once by their id, with the moment before them, and told of', async () => {
    await answered(1);
    await answered(2, { boot, uptimeMs: 950, began });
    expect(await send(await sealed())).toBe('new');
    expect(await send(await sealed())).toBe('repeated');
    const [crash, ...more] = await shown();
    expect(more).toEqual([]);
    expect(crash).toMatchObject({
      crashId: idOf(1),
      reason: 'agent_crash',
      machine: null,
      detail: 'TypeError',
      start: 2,
    });
    expect(crash?.time.basis).not.toBe('device-clock');
    expect(await oneCrash(reading(), ALL_CUSTOMERS, device.deviceId, idOf(1))).toMatchObject({ content: crashOf() });
    expect(await oneCrash(reading(), { customerId: 'other' }, device.deviceId, idOf(1))).toBeNull();
    expect((await notices('device.crash')).map(({ data }) => data)).toEqual([
      expect.objectContaining({ crashId: idOf(1), reason: 'agent_crash', basedOn: ['uncaught-error'] }),
    ]);
  });

  it('are named in the answer to a report that names them, and in no other', async () => {
    const first = await answered(1, { crashes: [idOf(1), idOf(2)] });
    expect(first.crashes).toEqual([]);
    await send(await sealed());
    expect((await answered(2, { boot, uptimeMs: 950, crashes: [idOf(1), idOf(2)] })).crashes).toEqual([idOf(1)]);
    expect(await answered(3, { boot: { id: 'boot-3' } })).not.toHaveProperty('crashes');
  });

  it('stand with the start that they began, which keeps what it said first', async () => {
    await answered(1);
    await answered(2, { boot, uptimeMs: 950, began });
    const other = { agent: { reason: 'clean', basedOn: [] } };
    await device.report({ ask: 'bm9uY2Utbm9uY2V', start: 2, sequence: 1, boot, uptimeMs: 990, began: other });
    await device.answer((answer) => answer.nonce === 'bm9uY2Utbm9uY2V');
    const { items } = await listStarts(reading(), ALL_CUSTOMERS, device.deviceId, PAGE);
    expect(items.map((start) => start.began?.agent.reason ?? null)).toEqual(['agent_crash', null]);
    expect(items[0]?.began).toMatchObject({
      machine: null,
      ranMs: 1_500,
      ended: { latest: expect.any(String) as unknown },
    });
  });

  it('are refused with a stable code when they are not what they should be', async () => {
    const code = async (payload: string): Promise<string[]> => {
      const before = new Map(cloud.metrics.counts);
      expect(await send(payload)).toBe('refused');
      return [...cloud.metrics.counts.keys()]
        .filter(
          (key) =>
            key.startsWith('paddock_reports_rejected_total') && before.get(key) !== cloud.metrics.counts.get(key),
        )
        .map((key) => key.split(' ')[1] ?? '');
    };
    const stranger = await makeTestKey();
    const forged = (await sealed()).split('.');
    forged[2] = (await sealed({ id: idOf(9) })).split('.')[2] ?? '';
    const nested = (depth: number): object => (depth === 0 ? {} : { x: nested(depth - 1) });
    expect(await code(await sealed({}, stranger))).toEqual(['key_unknown']);
    expect(await code(forged.join('.'))).toEqual(['signature_invalid']);
    expect(await code(await sealed({ deep: nested(40) }))).toEqual(['payload_malformed']);
    expect(await code(await sealed({ breadcrumbs: Array.from({ length: 129 }, () => ({})) }))).toEqual([
      'payload_invalid',
    ]);
    expect(await code(await sealed({ kernel: 'x'.repeat(16_385) }))).toEqual(['payload_invalid']);
    expect(await code(await sealed({ padding: 'x'.repeat(300_000) }))).toEqual(['payload_too_large']);
    expect(await code(await sealed({ id: 'short' }))).toEqual(['payload_invalid']);
    expect(await code(await sealed({ device: 'kiosk-other' }))).toEqual(['device_mismatch']);
    expect(await code(await sealed({ v: 9 }))).toEqual(['version_unsupported']);
    expect(await code(await device.seal())).toEqual(['typ_mismatch']);
    expect(await shown()).toEqual([]);
  });

  it('are no more than 20 in an hour', async () => {
    for (let n = 0; n < 20; n += 1) expect(await send(await sealed({ id: idOf(n) }))).toBe('new');
    expect(await send(await sealed({ id: idOf(20) }))).toBe('too-often');
    expect(await send(await sealed({ id: idOf(3) }))).toBe('repeated');
    expect(cloud.metrics.of('paddock_reports_rejected_total', 'crash_too_often')).toBeGreaterThan(0);
  });

  it.each([
    ['a start that was not heard before', 2, { reason: 'agent_crash', machine: null, detail: 'TypeError' }],
    ['the start that was heard before', 1, { reason: 'connection', machine: null, detail: null }],
  ])('%s says why a device was silent, when it is back', async (_what, start, cause) => {
    await answered(1);
    await database.store.query(
      `INSERT INTO presence (device_id, state, since, previous, heard_at, revision)
       SELECT device_id, 'lost', now(), 'late', heard_at, nextval('state_revision') FROM device_state WHERE device_id = $1`,
      [device.deviceId],
    );
    await device.report({
      ask: 'bm9uY2Utbm9uY2V',
      start,
      sequence: 9,
      uptimeMs: 99_000,
      ...(start === 2 && { boot, began }),
    });
    await device.answer((answer) => answer.nonce === 'bm9uY2Utbm9uY2V');
    const now = async () => wallMs(Date.now());
    const parts = {
      store: database.store,
      clock: systemClock,
      metrics: new CountedMetrics(),
      log: pino({ level: 'silent' }),
    };
    await createWatch({ ...parts, listenerId: 'test', now }).judge(database.store, await now());
    expect((await notices('device.back')).map(({ data }) => data['cause'])).toEqual([cause]);
  });
});
