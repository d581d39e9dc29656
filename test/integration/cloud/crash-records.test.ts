import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { crashIntake } from '@paddock/cloud/crashes/intake.ts';
import { knownCrashes } from '@paddock/cloud/crashes/known.ts';
import { recordCrash, type AuthenticCrash } from '@paddock/cloud/crashes/record.ts';
import { listCrashes } from '@paddock/cloud/crashes/views.ts';
import type { TimeView } from '@paddock/cloud/devices/placement.ts';
import type { Store } from '@paddock/cloud/ports.ts';
import { verifyProof } from '@paddock/cloud/proof/verify.ts';
import type { Crash } from '@paddock/shared/crash.ts';
import { digestOf, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { startHttp, type TestHttp } from '../../harness/http.ts';
import { CountedMetrics, startIngest, type TestIngest } from '../../harness/ingest.ts';
import { Life } from '../../harness/life.ts';
import { reportOf } from '../../harness/reports.ts';

const HOUR = 3_600_000;
const MOST = 20;
const NOW = Date.UTC(2026, 10, 28, 12);
const idOf = (n: number): string => `crash-${n}`.padEnd(22, 'x');

let database: FreshDatabase;
let http: TestHttp;
let ingest: TestIngest;
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

async function newDevice(): Promise<TestDevice> {
  const device = await TestDevice.register(database.store, `kiosk-${devices.length}`, ingest.cloudKey);
  devices.push(device);
  return device;
}

/** As it is handed on once it is proved. */
async function messageOf(device: TestDevice, fields: Partial<Crash> = {}, receivedAt = NOW): Promise<AuthenticCrash> {
  const { deviceId } = device;
  const crash: Crash = {
    v: 1,
    device: deviceId,
    id: idOf(1),
    incarnation: reportOf().incarnation,
    start: 2,
    boot: { id: 'boot-2' },
    uptimeMs: 900,
    began: { agent: { reason: 'agent_crash', basedOn: ['no-clean-end'] } },
    breadcrumbs: [],
    ...fields,
  };
  const envelope = await seal('crash', crash, device.key.signing, deflater);
  const digest = await digestOf(parseEnvelope(envelope));
  return { deviceId, envelope, digest, receivedAt: wallMs(receivedAt), payloadBytes: 500, crash };
}

const record = async (device: TestDevice, fields?: Partial<Crash>, receivedAt?: number): Promise<string> =>
  (await recordCrash(database.store, await messageOf(device, fields, receivedAt), () => 0)).outcome;

async function recordMany(device: TestDevice, from: number, receivedAt: number): Promise<void> {
  for (let n = from; n < from + MOST; n += 1) expect(await record(device, { id: idOf(n) }, receivedAt)).toBe('new');
}

const notices = (deviceId: string): Promise<{ occurred_at: Date; data: Record<string, unknown> }[]> =>
  database.store.query(`SELECT occurred_at, data FROM notifications WHERE type = 'device.crash' AND device_id = $1`, [
    deviceId,
  ]);
const listed = async (deviceId: string, query = '') =>
  (await http.call('GET', `/api/v1/devices/${deviceId}/crashes${query}`)).body as {
    items: Record<string, unknown>[];
    next: string | null;
  };

describe('the bound of an hour', () => {
  it('counts what came within an hour on either side, and nothing else', async () => {
    const device = await newDevice();
    await recordMany(device, 100, NOW - HOUR);
    await recordMany(device, 200, NOW + HOUR);
    expect(await record(device, { id: idOf(1) })).toBe('new');
    await recordMany(device, 300, NOW + 4 * HOUR);
    expect(await record(device, { id: idOf(2) }, NOW + 5 * HOUR - 1)).toBe('too-often');
    expect(await record(device, { id: idOf(2) }, NOW + 3 * HOUR + 1)).toBe('too-often');
    expect(await record(device, { id: idOf(300) }, NOW + 4 * HOUR)).toBe('repeated');
  });

  it('is of each device alone, and so is an id', async () => {
    const [one, two] = [await newDevice(), await newDevice()];
    await recordMany(one, 0, NOW);
    expect(await record(two, { id: idOf(0) })).toBe('new');
    expect(await knownCrashes(database.store, two.deviceId, [idOf(0), idOf(1)])).toEqual([idOf(0)]);
  });

  it('holds, and an id is recorded once, however many come at once through whatever instance', async () => {
    const device = await newDevice();
    const same = await Promise.all(Array.from({ length: 6 }, () => record(device)));
    expect(same.toSorted()).toEqual(['new', ...Array.from({ length: 5 }, () => 'repeated')]);
    const others = await Promise.all(Array.from({ length: 24 }, (_, n) => record(device, { id: idOf(10 + n) })));
    expect(others.filter((outcome) => outcome === 'new')).toHaveLength(MOST - 1);
  });
});

describe('a crash report', () => {
  it('stands as the device said it, with the digest of its envelope, and its notice says the same', async () => {
    const device = await newDevice();
    const agent = { reason: 'power', basedOn: ['no-clean-end', 'new-boot'] };
    const machine = { reason: 'kernel_panic', basedOn: ['pstore'], detail: 'Kernel panic - not syncing: oops' };
    const told = { agent: { version: '1.4.2' }, began: { agent, machine } };
    let message = await messageOf(device, told);
    // Until its digest has what base64 and base64url write otherwise.
    for (let n = 0; !/[-_]/.test(message.digest); n += 1) message = await messageOf(device, { id: idOf(n), ...told });
    await recordCrash(database.store, message, () => 0);
    expect((await listed(device.deviceId)).items).toEqual([
      {
        crashId: message.crash.id,
        receivedAt: '2026-11-28T12:00:00.000Z',
        time: expect.anything() as unknown,
        incarnation: message.crash.incarnation,
        start: 2,
        reason: 'power',
        machine: 'kernel_panic',
        detail: 'Kernel panic - not syncing: oops',
        agentVersion: '1.4.2',
        digest: message.digest,
      },
    ]);
    const [notice, ...more] = await notices(device.deviceId);
    expect([notice?.occurred_at, more]).toEqual([new Date(NOW), []]);
    expect(notice?.data).toMatchObject({
      deviceId: device.deviceId,
      customerId: 'default',
      crashId: message.crash.id,
      machine: 'kernel_panic',
      detail: 'Kernel panic - not syncing: oops',
    });
    const { body: proof } = await http.call(
      'GET',
      `/api/v1/devices/${device.deviceId}/crashes/${message.crash.id}/proof`,
    );
    expect(await verifyProof(proof, inflater, device.key.verification.thumbprint)).toMatchObject({
      digest: message.digest,
    });
  });

  it('says what the agent says before what the machine does', async () => {
    const device = await newDevice();
    const agent = { reason: 'agent_crash', basedOn: [], detail: 'TypeError' };
    const machine = { reason: 'power', basedOn: [], detail: 'of the machine' };
    await record(device, { began: { agent, machine } });
    expect((await listed(device.deviceId)).items).toMatchObject([{ machine: 'power', detail: 'TypeError' }]);
    expect(await notices(device.deviceId)).toMatchObject([{ data: { machine: 'power', detail: 'TypeError' } }]);
  });

  it('is not recorded without its notice', async () => {
    const device = await newDevice();
    const CHECK = `ALTER TABLE notifications ADD CONSTRAINT no_crash CHECK (type <> 'device.crash') NOT VALID`;
    await database.store.query(CHECK, []);
    try {
      await expect(record(device)).rejects.toThrow();
    } finally {
      await database.store.query('ALTER TABLE notifications DROP CONSTRAINT no_crash', []);
    }
    expect((await listed(device.deviceId)).items).toEqual([]);
    expect(await record(device)).toBe('new');
  });

  it('of a device that is gone is a failure that names it, and records nothing', async () => {
    const device = new TestDevice('kiosk-gone', (await newDevice()).key, ingest.cloudKey);
    await expect(record(device)).rejects.toThrow('kiosk-gone');
  });

  it('that is new stands in the log, and a repeated one does not', async () => {
    const device = await newDevice();
    const lines: object[] = [];
    const silent = (): void => {};
    const log = { debug: silent, info: silent, warn: (line: object) => void lines.push(line), error: silent };
    const { envelope } = await messageOf(device);
    const intake = crashIntake({ ...ingest.side, log, store: database.store, errorAt: () => 0 });
    const topic = `paddock/v1/${device.deviceId}/crash`;
    for (let times = 0; times < 2; times += 1)
      await intake.accept({ topic, payload: Buffer.from(envelope), receivedAt: wallMs(NOW) });
    await expect.poll(() => listed(device.deviceId)).toMatchObject({ items: [{ crashId: idOf(1) }] });
    await intake.close();
    expect(lines).toMatchObject([{ event: 'device.crash', crashId: idOf(1) }]);
  });

  it('that cannot be recorded is counted and said, and the next one is taken in', async () => {
    const [device, metrics] = [await newDevice(), new CountedMetrics()];
    let isAway = true;
    const store: Store = {
      ...database.store,
      transaction: (work) => (isAway ? Promise.reject(new Error('away')) : database.store.transaction(work)),
    };
    const errors: string[] = [];
    const silent = (): void => {};
    const log = {
      debug: silent,
      info: silent,
      warn: silent,
      error: (_: object, what: string) => void errors.push(what),
    };
    const intake = crashIntake({ ...ingest.side, log, metrics, store, errorAt: () => 0 });
    const inbound = {
      topic: `paddock/v1/${device.deviceId}/crash`,
      payload: Buffer.from((await messageOf(device)).envelope),
      receivedAt: wallMs(NOW),
    };
    await intake.accept(inbound);
    await expect.poll(() => metrics.of('paddock_crashes_total', 'failed')).toBe(1);
    expect(errors).toEqual(['A crash report could not be recorded and was let go']);
    isAway = false;
    await intake.accept(inbound);
    await expect.poll(() => metrics.of('paddock_crashes_total', 'new')).toBe(1);
    await intake.close();
    await intake.accept(inbound);
    expect(metrics.of('paddock_crashes_total', 'dropped')).toBe(1);
  });

  it('is known by its topic, and not by the name of its device', () => {
    const intake = crashIntake({ ...ingest.side, store: database.store, errorAt: () => 0 });
    expect(intake.takes({ topic: 'paddock/v1/kiosk-1/crash' })).toBe(true);
    expect(intake.takes({ topic: 'paddock/v1/crash-1/report' })).toBe(false);
  });
});

describe('the moment of a crash', () => {
  /** Two boots of a device that the cloud has exchanged with. */
  async function twoLives() {
    const device = await (await newDevice()).connect(ingest.url);
    const before = new Life(device, 1, 90_000);
    const exchange = await before.report();
    await before.report({ exchanges: [exchange] });
    const ended = { uptimeMs: before.uptimeMs, at: Date.now() };
    await sleep(50);
    const after = new Life(device, 2, 5_000);
    await after.report({ exchanges: [await after.report()] });
    return { device, before, after, ended };
  }
  const timeOf = async (device: TestDevice, id = idOf(1)): Promise<TimeView> => {
    const { body } = await http.call('GET', `/api/v1/devices/${device.deviceId}/crashes/${id}`);
    return body['time'] as TimeView;
  };

  it('is that of the last sign of life before it, by the clock of that boot', async () => {
    const { device, before, after, ended } = await twoLives();
    const sign = { start: 1, boot: { id: before.bootId }, uptimeMs: ended.uptimeMs, ranMs: 1 };
    const began = { agent: { reason: 'power', basedOn: [] }, before: sign };
    const teller = { boot: { id: after.bootId }, uptimeMs: after.uptimeMs };
    await record(device, { ...teller, began }, Date.now());
    // The one that tells had a suspend; the one that ended had none.
    await record(device, { ...teller, id: idOf(2), segment: 1, began }, Date.now());
    for (const id of [idOf(1), idOf(2)]) {
      const { earliest, latest, basis } = await timeOf(device, id);
      expect(basis).toMatch(/^(exchanged|extrapolated)$/);
      expect(Date.parse(String(earliest))).toBeLessThanOrEqual(ended.at);
      expect(Date.parse(latest)).toBeGreaterThanOrEqual(ended.at);
      expect(Date.parse(latest) - Date.parse(String(earliest))).toBeLessThan(5_000);
    }
  });

  it('is not after the start that tells of it looked, however late that comes in, and whatever clock it was by', async () => {
    const { device, after } = await twoLives();
    const sign = { start: 1, boot: { id: 'a-boot-that-nobody-knows' }, uptimeMs: 77_000, ranMs: 1 };
    const began = { agent: { reason: 'power', basedOn: [] }, before: sign };
    const uptimeMs = after.uptimeMs;
    await record(device, { boot: { id: after.bootId }, uptimeMs, began }, Date.now() + HOUR);
    expect(Date.parse((await timeOf(device)).latest)).toBeLessThan(Date.now() + HOUR / 2);
  });

  it('is when it looked, where it knows of no sign of life', async () => {
    const { device, after } = await twoLives();
    const began = { agent: { reason: 'unknown', basedOn: ['no-record'] } };
    const looked = { uptimeMs: after.uptimeMs, at: Date.now() };
    await record(device, { boot: { id: after.bootId }, uptimeMs: looked.uptimeMs, began }, Date.now() + HOUR);
    const { latest, basis } = await timeOf(device);
    expect(basis).toMatch(/^(exchanged|extrapolated)$/);
    expect(Date.parse(latest)).toBeGreaterThanOrEqual(looked.at);
    expect(Date.parse(latest)).toBeLessThan(Date.now() + HOUR / 2);
  });
});

describe('crash reports over HTTP', () => {
  it('are listed newest first, each once, page by page', async () => {
    const device = await newDevice();
    for (let n = 0; n < 5; n += 1) await record(device, { id: idOf(n) });
    const seen: unknown[] = [];
    let query = '?limit=2';
    for (let page = 0; page < 3; page += 1) {
      const { items, next } = await listed(device.deviceId, query);
      expect(items).toHaveLength(page < 2 ? 2 : 1);
      seen.push(...items.map(({ crashId }) => crashId));
      expect(next === null).toBe(page === 2);
      query = `?limit=2&cursor=${next}`;
    }
    expect(seen).toEqual([4, 3, 2, 1, 0].map(idOf));
  });

  it('are those of the device that is asked about, and of nobody else’s customer', async () => {
    const [one, two] = [await newDevice(), await newDevice()];
    await record(one, { id: idOf(1) });
    await record(two, { id: idOf(2) });
    const stranger = await http.tokenOf('acme');
    const paths = ['', `/${idOf(1)}`, `/${idOf(1)}/proof`].map(
      (end) => `/api/v1/devices/${one.deviceId}/crashes${end}`,
    );
    for (const path of paths) {
      expect((await http.call('GET', path)).status).toBe(200);
      expect(await http.call('GET', path, { token: stranger })).toMatchObject({
        status: 404,
        body: { code: 'not_found' },
      });
    }
    const reading = { sql: database.store, cloudErrorMs: () => 100 };
    const page = { limit: 9, cursor: undefined };
    expect((await listCrashes(reading, { customerId: 'acme' }, one.deviceId, page)).items).toEqual([]);
    const other = `/api/v1/devices/${one.deviceId}/crashes/${idOf(2)}`;
    for (const path of [other, `${other}/proof`, '/api/v1/devices/kiosk-nobody/crashes'])
      expect(await http.call('GET', path)).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });
});

it('a report is answered where it cannot be looked up what is known: nothing is, and the device keeps it', async () => {
  const away = { query: () => Promise.reject(new Error('away')) };
  expect(await knownCrashes(away, 'kiosk-1', [idOf(1)])).toEqual([]);
});
