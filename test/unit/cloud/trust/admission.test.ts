import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ConnectionRefusal, DeviceConnection, Sql } from '@paddock/cloud/ports.ts';
import { judge, StoredAdmission, type Standing } from '@paddock/cloud/trust/admission.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

const GOOD: Standing = { retired: false, revoked: [], certified: true };
const CERTIFICATE = { serial: 'a1', notAfter: wallMs(Number.MAX_SAFE_INTEGER) };

describe('a connection', () => {
  test.each<[ConnectionRefusal | null, string, { certificate: typeof CERTIFICATE | null }, Standing | null]>([
    [null, 'with a good certificate', { certificate: CERTIFICATE }, GOOD],
    [null, 'with one that is on no record', { certificate: CERTIFICATE }, { ...GOOD, certified: false }],
    [null, 'while another certificate is revoked', { certificate: CERTIFICATE }, { ...GOOD, revoked: ['a2'] }],
    ['certificate_revoked', 'with a revoked one', { certificate: CERTIFICATE }, { ...GOOD, revoked: ['a2', 'a1'] }],
    ['device_retired', 'of a retired device', { certificate: CERTIFICATE }, { ...GOOD, retired: true }],
    ['device_unknown', 'of nobody', { certificate: CERTIFICATE }, null],
    ['certificate_missing', 'without TLS of a device that has a certificate', { certificate: null }, GOOD],
    [null, 'without TLS of a device that has none', { certificate: null }, { ...GOOD, certified: false }],
    [null, 'without TLS of nobody, whose reports are refused', { certificate: null }, null],
  ])('is judged %s %s', (code, _what, connection, standing) => {
    expect(judge(connection, standing)).toBe(code);
  });
});

/** Devices as the database has them, and every list of ids that was asked for. */
class FakeDevices implements Sql {
  readonly asked: string[][] = [];
  readonly standings = new Map<string, Standing>();
  /** Answers are held back until this resolves. */
  held: Promise<unknown> = Promise.resolve();

  async query<Row extends object>(_text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const [ids] = values as [string[]];
    this.asked.push(ids);
    const rows = ids.flatMap((id) => {
      const standing = this.standings.get(id);
      return standing ? [{ device_id: id, ...standing }] : [];
    });
    await this.held;
    return rows as object[] as Row[];
  }
}

class Connection implements DeviceConnection {
  readonly deviceId: string;
  readonly certificate: DeviceConnection['certificate'];
  readonly closed: ConnectionRefusal[] = [];
  constructor(deviceId: string, certificate: DeviceConnection['certificate'] = CERTIFICATE) {
    this.deviceId = deviceId;
    this.certificate = certificate;
  }
  close(code: ConnectionRefusal): void {
    this.closed.push(code);
  }
}

describe('admission', () => {
  let devices: FakeDevices;
  let clock: CloudClock;
  let admission: StoredAdmission;
  const warned: string[] = [];
  const REVOKED: Standing = { ...GOOD, revoked: [CERTIFICATE.serial] };

  beforeEach(() => {
    devices = new FakeDevices();
    clock = new CloudClock(1_000_000);
    warned.length = 0;
    const log = { debug() {}, info() {}, warn: (_fields: object, message: string) => warned.push(message), error() {} };
    admission = new StoredAdmission({ sql: devices, clock, log });
    for (const id of ['kiosk-1', 'kiosk-2', 'kiosk-3']) devices.standings.set(id, GOOD);
  });

  test('asks once for all that come together', async () => {
    const together = ['kiosk-1', 'kiosk-2', 'kiosk-9'].map((id) => admission.admit(new Connection(id)));
    expect(await Promise.all(together)).toEqual([null, null, 'device_unknown']);
    expect(devices.asked).toEqual([['kiosk-1', 'kiosk-2', 'kiosk-9']]);
  });

  test('closes what is connected when its certificate is taken back, and nobody else', async () => {
    const [victim, other] = [new Connection('kiosk-1'), new Connection('kiosk-2')];
    await Promise.all([admission.admit(victim), admission.admit(other)]);
    devices.standings.set('kiosk-1', REVOKED);
    for (const id of ['kiosk-1', 'kiosk-2', 'kiosk-3']) admission.changed(id);
    await turn();
    expect([victim.closed, other.closed]).toEqual([['certificate_revoked'], []]);
    expect(devices.asked.at(-1)).toEqual(['kiosk-1', 'kiosk-2']);
  });

  test('misses no change that comes while it asks', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    devices.held = promise;
    const connection = new Connection('kiosk-1');
    const admitted = admission.admit(connection);
    await turn();
    devices.standings.set('kiosk-1', REVOKED);
    admission.changed('kiosk-1');
    resolve();
    expect(await admitted).toBeNull();
    await turn();
    expect(connection.closed).toEqual(['certificate_revoked']);
  });

  test('asks about everybody when it may have missed something', async () => {
    const connection = new Connection('kiosk-1');
    await admission.admit(connection);
    devices.standings.set('kiosk-1', { ...GOOD, retired: true });
    admission.changedAll();
    await turn();
    expect(connection.closed).toEqual(['device_retired']);
  });

  test('forgets who is gone', async () => {
    const connection = new Connection('kiosk-1');
    await admission.admit(connection);
    admission.gone(connection);
    devices.standings.set('kiosk-1', REVOKED);
    admission.changed('kiosk-1');
    await turn();
    expect([connection.closed, devices.asked.length]).toEqual([[], 1]);
  });

  test('lets nobody in while the database is away, closes nobody, and asks again', async () => {
    const [before, plain] = [new Connection('kiosk-1'), new Connection('kiosk-2', null)];
    devices.standings.set('kiosk-2', { ...GOOD, certified: false });
    await admission.admit(before);
    devices.held = Promise.reject(new Error('away'));
    expect(await admission.admit(new Connection('kiosk-3'))).toBe('admission_unavailable');
    const waiting = admission.admit(plain);
    admission.changed('kiosk-1');
    clock.advance(1_000);
    expect(await waiting).toBeNull();
    expect([before.closed, plain.closed]).toEqual([[], []]);
    devices.held = Promise.resolve();
    devices.standings.set('kiosk-1', REVOKED);
    devices.standings.set('kiosk-2', GOOD);
    clock.advance(1_000);
    await turn();
    expect([before.closed, plain.closed]).toEqual([['certificate_revoked'], ['certificate_missing']]);
    expect(warned).toHaveLength(1);
  });

  test('closes what has expired while it was connected', async () => {
    const connection = new Connection('kiosk-1', { serial: 'a1', notAfter: wallMs(1_030_000) });
    await admission.admit(connection);
    const stop = new AbortController();
    const running = admission.run(stop.signal);
    expect(connection.closed).toEqual([]);
    clock.advance(60_000);
    await turn();
    expect(connection.closed).toEqual(['certificate_expired']);
    stop.abort();
    await running;
  });
});
