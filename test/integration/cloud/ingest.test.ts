import { deflateRawSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seal } from '@paddock/shared/envelope.ts';
import type { RefusalCode } from '@paddock/shared/errors.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { ALL_BROKERS, startBroker, type TestBroker } from '../../harness/brokers.ts';
import { freshDatabase, startServer, type FreshDatabase, type Server } from '../../harness/database.ts';
import { serverByAddress } from '../../harness/database-by-address.ts';
import { dial, TestDevice } from '../../harness/device.ts';
import { startIngest, type TestIngest } from '../../harness/ingest.ts';
import { reportOf } from '../../harness/reports.ts';
import { makeTestKey } from '../../harness/signing.ts';
import { jwsOf, twinOf } from '../../harness/wire.ts';

const NONCE = 'bm9uY2Utbm9uY2U';

/** The same suite on every broker: none of them is trusted with more than passing messages on. */
describe.each(ALL_BROKERS)('ingest through %s', (name) => {
  let server: Server | null = null;
  let database: FreshDatabase;
  let broker: TestBroker;
  let cloud: TestIngest;
  let device: TestDevice;
  let devices = 0;

  beforeAll(async () => {
    if (name === 'a broker that guards nothing') server = (await serverByAddress()) ?? (await startServer());
    database = await freshDatabase(server ?? undefined);
    broker = await startBroker(name);
    cloud = await startIngest(database.store, { on: broker });
  });
  beforeEach(async () => {
    device = await TestDevice.register(database.store, `kiosk-${name.length}-${(devices += 1)}`, cloud.cloudKey);
    await device.connect(cloud);
    return () => device.close();
  });
  afterAll(async () => {
    await cloud.close();
    await broker.stop();
    await database.drop();
    await server?.stop();
  });

  const archived = () =>
    database.store.query<{ sequence: number; envelope: string; earliest: Date | null; latest: Date; basis: string }>(
      'SELECT sequence, envelope, earliest, latest, basis FROM reports WHERE device_id = $1 ORDER BY start, sequence',
      [device.deviceId],
    );
  const lastState = async () => {
    const [row] = await database.store.query<{ start: number; sequence: number }>(
      'SELECT start, sequence FROM device_state WHERE device_id = $1',
      [device.deviceId],
    );
    return row;
  };
  const eventually = async (check: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await check())) await sleep(10);
  };
  /** Everything sent before is decided on: a report that asks is answered behind it. */
  const settle = async (fields: Parameters<TestDevice['report']>[0]): Promise<void> => {
    await device.report({ ask: NONCE, ...fields });
    await device.answer(({ nonce, start }) => nonce === NONCE && start === (fields?.start ?? 1));
  };

  it('records a report as it came, in time, and answers the one that asks', async () => {
    const before = Date.now();
    const envelope = await device.report({ ask: NONCE });
    const answer = await device.answer(({ nonce }) => nonce === NONCE);
    expect(answer).toMatchObject({ device: device.deviceId, start: 1, recorded: [[0, 0]], rejected: [] });
    expect(Date.parse(answer.receivedAt)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(answer.sentAt)).toBeGreaterThanOrEqual(Date.parse(answer.receivedAt));
    const [row] = await archived();
    expect(row).toMatchObject({ sequence: 0, envelope, earliest: null, basis: 'arrival' });
    // The stamp is a whole ms, rounded down.
    expect(row?.latest.getTime()).toBe(Date.parse(answer.receivedAt) + 101);
  });

  it('does not answer a report that does not ask', async () => {
    await device.report({ sequence: 0 });
    await settle({ sequence: 1, uptimeMs: 60_001 });
    expect(device.answers).toHaveLength(1);
    expect(device.answers[0]?.recorded).toEqual([[0, 1]]);
  });

  it('records a repeat once and answers it again', async () => {
    const envelope = await device.report({ ask: NONCE });
    await device.answer(({ nonce }) => nonce === NONCE);
    await device.publish(envelope);
    await device.publish(twinOf(envelope));
    await eventually(() => device.answers.length === 3);
    expect(await archived()).toHaveLength(1);
    expect(device.answers.map(({ recorded }) => recorded)).toEqual([[[0, 0]], [[0, 0]], [[0, 0]]]);
  });

  it('never moves the last known state back for a late report', async () => {
    await settle({ start: 2, sequence: 5, uptimeMs: 90_000 });
    await settle({ start: 1, sequence: 9, uptimeMs: 70_000 });
    await device.report({ start: 2, sequence: 3, uptimeMs: 80_000 });
    await eventually(async () => (await archived()).length === 3);
    expect(await lastState()).toEqual({ start: 2, sequence: 5 });
  });

  it('places a buffered report by a later one of its boot', async () => {
    await settle({ sequence: 9, uptimeMs: 3_600_000 });
    await device.report({ sequence: 1, uptimeMs: 60_000 });
    await eventually(async () => (await archived()).length === 2);
    const [early, late] = await archived();
    expect(early).toMatchObject({ sequence: 1, basis: 'extrapolated' });
    expect((late?.latest.getTime() ?? 0) - (early?.latest.getTime() ?? 0)).toBeGreaterThan(3_500_000);
  });

  it('takes a lost state file as a new life of the device', async () => {
    await settle({ start: 40, sequence: 7 });
    await device.report({ incarnation: 'BBBBBBBBBBB', start: 1, boot: { id: 'another-boot' } });
    await eventually(async () => (await lastState())?.start === 1);
    expect(await archived()).toHaveLength(2);
  });

  const refusals = (code: RefusalCode) => cloud.metrics.of('paddock_reports_rejected_total', code);
  type Attack = [code: RefusalCode, name: string, send: () => Promise<void>];
  const header = () => ({ alg: 'ES256', kid: device.key.signing.keyId, typ: 'paddock-report' });
  const content = (fields: object = {}) => JSON.stringify({ ...reportOf({ device: device.deviceId }), ...fields });
  const attacks: Attack[] = [
    ['envelope_malformed', 'not a JWS', () => device.publish('hello')],
    ['envelope_malformed', 'nothing', () => device.publish('')],
    ['envelope_not_canonical', 'garbage bytes', () => device.publish(Buffer.from([0, 255, 46, 1, 46, 2]))],
    [
      'alg_refused',
      'alg none',
      async () => device.publish(await jwsOf({ ...header(), alg: 'none' }, content(), device.key)),
    ],
    [
      'alg_refused',
      'alg HS256',
      async () => device.publish(await jwsOf({ ...header(), alg: 'HS256' }, content(), device.key)),
    ],
    [
      'typ_mismatch',
      'a presence as a report',
      async () => device.publish(await seal('presence', {}, device.key.signing)),
    ],
    [
      'key_unknown',
      'a stranger’s key',
      async () => device.publish(await seal('report', reportOf(), (await makeTestKey()).signing)),
    ],
    [
      'signature_invalid',
      'a stranger’s signature',
      async () => device.publish(await jwsOf(header(), content(), await makeTestKey())),
    ],
    [
      'device_mismatch',
      'another device in the payload',
      () => device.report({ device: 'kiosk-other' }).then(() => undefined),
    ],
    [
      'version_unsupported',
      'a version of the future',
      async () => device.publish(await jwsOf(header(), content({ v: 99 }), device.key)),
    ],
    [
      'payload_invalid',
      'a report without a start',
      async () => device.publish(await jwsOf(header(), content({ start: 0 }), device.key)),
    ],
    [
      'payload_too_large',
      'an inflation bomb',
      async () =>
        device.publish(await jwsOf({ ...header(), cty: 'd1' }, deflateRawSync(Buffer.alloc(30_000_000)), device.key)),
    ],
    ['payload_malformed', 'no JSON', async () => device.publish(await jwsOf(header(), '{', device.key))],
    [
      'payload_malformed',
      'U+0000',
      async () => device.publish(await jwsOf(header(), content({ more: '\0' }), device.key)),
    ],
  ];
  it.each(attacks)('refuses with %s: %s', async (code, _name, send) => {
    const before = refusals(code);
    await send();
    await eventually(() => refusals(code) === before + 1);
    await settle({ sequence: 1, uptimeMs: 60_001 });
    expect(await archived()).toHaveLength(1);
  });

  // Mosquitto as we set it up cuts off who sends more than an envelope can be, and the service never hears of it.
  it('records nothing of what is larger than any envelope', async () => {
    const before = refusals('envelope_too_large');
    await device.close();
    const raw = await dial(device.deviceId, cloud, { reconnectPeriod: 0 });
    const cut = new Promise((resolve) => raw.once('close', () => resolve('cut off')));
    raw.publish(topicOf('report', device.deviceId), Buffer.alloc(1_000_000, 'a'), { qos: 1 }, () => undefined);
    if (name === 'Mosquitto over mutual TLS') expect(await cut).toBe('cut off');
    else await eventually(() => refusals('envelope_too_large') === before + 1);
    await raw.endAsync(true);
    await device.connect(cloud);
    await settle({ sequence: 1, uptimeMs: 60_001 });
    expect(await archived()).toHaveLength(1);
    expect(refusals('envelope_too_large')).toBe(name === 'Mosquitto over mutual TLS' ? before : before + 1);
  });

  it('takes a presence for what it is: neither recorded nor refused', async () => {
    const kept = () =>
      database.store.query('SELECT code FROM rejected_reports WHERE device_id = $1', [device.deviceId]);
    await device.publish(
      await seal(
        'presence',
        { v: 1, device: device.deviceId, connection: NONCE, status: 'online' },
        device.key.signing,
      ),
      topicOf('presence', device.deviceId),
    );
    // What is refused after it, on the same connection, is kept no sooner.
    await device.publish('rubbish');
    await eventually(async () => (await kept()).length > 0);
    expect(await kept()).toEqual([{ code: 'envelope_malformed' }]);
    expect(await archived()).toHaveLength(0);
  });

  it('keeps the newest refused messages of a device with their codes, and no more than 100', async () => {
    await Promise.all(Array.from({ length: 120 }, (_, n) => device.publish(`rubbish ${n}`)));
    await device.publish(await jwsOf(header(), '{', device.key));
    const kept = async () =>
      database.store.query<{ code: string; n: number }>(
        'SELECT code, count(*) AS n FROM rejected_reports WHERE device_id = $1 GROUP BY code ORDER BY code',
        [device.deviceId],
      );
    const rubbish = async () => (await kept()).map(({ code, n }) => `${code} ${n}`).join();
    // Added first, trimmed next: what is bounded is what stays.
    await eventually(async () => (await rubbish()) === 'envelope_malformed 99,payload_malformed 1');
  });

  it('refuses an unknown device', async () => {
    const stranger = new TestDevice('kiosk-stranger', await makeTestKey(), cloud.cloudKey);
    await stranger.connect(cloud);
    await stranger.report();
    await eventually(() => refusals('device_unknown') > 0);
    await stranger.close();
  });

  it('names in the answer what it will never record, and takes nothing else for bad', async () => {
    const envelope = await device.report({ sequence: 0, ask: NONCE });
    await device.answer(({ nonce }) => nonce === NONCE);
    await device.report({ sequence: 0, readings: {} });
    const conflict = await device.answer(({ rejected }) => rejected.length === 1);
    expect(conflict.rejected[0]).toMatchObject({ sequence: 0, code: 'identity_conflict' });
    expect(conflict.recorded).toEqual([[0, 0]]);
    await device.report({ sequence: 1, uptimeMs: 10 });
    const backwards = await device.answer(({ rejected }) => rejected.length === 2);
    expect(backwards.rejected[1]).toMatchObject({ sequence: 1, code: 'uptime_backwards' });
    expect((await archived()).map((row) => row.envelope)).toEqual([envelope]);
  });

  it('tells a device by digest what could not even be read', async () => {
    await device.publish(await jwsOf(header(), content({ v: 99 }), device.key));
    const answer = await device.answer(({ start }) => start === null);
    expect(answer.rejected).toEqual([{ sequence: null, digest: answer.digest, code: 'version_unsupported' }]);
  });

  it('refuses what the database can never hold, and records what came with it', async () => {
    const before = refusals('payload_unstorable');
    await Promise.all([
      // A suspend of centuries: more than its column holds.
      device.report({ sequence: 0, segment: 2 ** 40 }),
      device.report({ sequence: 1, uptimeMs: 60_001 }),
    ]);
    await eventually(() => refusals('payload_unstorable') === before + 1);
    await eventually(async () => (await archived()).length === 1);
  });

  it('hears of a device that is registered after its first tries', async () => {
    const key = await makeTestKey();
    const late = new TestDevice(`${device.deviceId}-late`, key, cloud.cloudKey);
    await late.connect(cloud);
    const before = refusals('device_unknown');
    await late.report();
    await eventually(() => refusals('device_unknown') === before + 1);
    await late.enrol(database.store);
    // The news may travel longer than the next report: a device sends again what was not answered.
    await eventually(async () => {
      await late.report({ ask: NONCE });
      return late.answers.length > 0;
    });
    expect(late.answers[0]).toMatchObject({ nonce: NONCE, recorded: [[0, 0]] });
    await late.close();
  });

  it('stays up and lets nothing in through 10,000 mutations of a good envelope', async () => {
    const envelope = await device.seal({ sequence: 3 });
    const mutation = fc.record({ at: fc.nat({ max: envelope.length - 1 }), to: fc.integer({ min: 0, max: 255 }) });
    const mutants = fc.sample(fc.array(mutation, { minLength: 1, maxLength: 3 }), 10_000).map((changes) => {
      const bytes = Buffer.from(envelope);
      for (const { at, to } of changes) bytes[at] = to;
      return bytes;
    });
    for (let from = 0; from < mutants.length; from += 500)
      await Promise.all(mutants.slice(from, from + 500).map((mutant) => device.publish(mutant)));
    await settle({ sequence: 4, uptimeMs: 60_001 });
    const rows = await archived();
    const [, , signature] = envelope.split('.');
    // A mutant that changed nothing, or became the signature's twin, is the report itself.
    for (const row of rows.filter(({ sequence }) => sequence === 3))
      expect(row.envelope.endsWith(signature ?? '')).toBe(true);
    expect(rows.filter(({ sequence }) => sequence !== 3)).toHaveLength(1);
  }, 120_000);
});
