import { X509Certificate } from 'node:crypto';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Evictions } from '@paddock/cloud/trust/eviction.ts';
import type { TlsIdentity } from '@paddock/cloud/ports.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { CollectedAudit } from '../../../harness/audit.ts';
import { newAuthority } from '../../../harness/authority.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

let authority: Authority;
let clock: CloudClock;
let audit: CollectedAudit;
let evictions: Evictions;
let visits: [clientId: string, identity: TlsIdentity][];
let broker: (clientId: string) => Promise<void>;
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  authority = await newAuthority();
  clock = new CloudClock(Date.now());
  audit = new CollectedAudit();
  [visits, broker, stop] = [[], async () => undefined, new AbortController()];
  evictions = new Evictions({
    authorities: { issuing: authority },
    clock,
    audit,
    log: pino({ level: 'silent' }),
    takeOver: (clientId, identity) => {
      visits.push([clientId, identity]);
      return broker(clientId);
    },
  });
  running = evictions.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
});

/** Lets time pass until it came to this. */
const seen =
  (what: () => number): (() => number) =>
  () => {
    clock.advance(1_000);
    return what();
  };
const WITHIN = { timeout: 30_000 };
const entries = seen(() => audit.entries.length);

test('a device is put out once, under its name, with a certificate of minutes, and the audit log has it', async () => {
  evictions.evict(['kiosk-0001', 'kiosk-0001']);
  await expect.poll(entries, WITHIN).toBe(1);
  const [[clientId, { cert }] = ['', { cert: '' }]] = visits;
  const shown = new X509Certificate(cert);
  expect([clientId, shown.subject]).toEqual(['kiosk-0001', 'CN=kiosk-0001']);
  expect(Date.parse(shown.validTo) - Date.parse(shown.validFrom)).toBeLessThanOrEqual(600_000);
  expect(audit.entries).toEqual([
    {
      actor: 'service',
      action: 'disconnect',
      deviceId: 'kiosk-0001',
      result: 'done',
      detail: { serial: shown.serialNumber.toLowerCase() },
    },
  ]);
});

test('nobody is put out before the broker can have read the list', async () => {
  evictions.evict(['kiosk-0001']);
  await new Promise((resolve) => setImmediate(resolve));
  expect(visits).toEqual([]);
});

test('a few at a time: the rest of a fleet waits', async () => {
  const held = Promise.withResolvers<void>();
  broker = () => held.promise;
  evictions.evict(Array.from({ length: 20 }, (_, n) => `kiosk-${1000 + n}`));
  await expect
    .poll(
      seen(() => visits.length),
      WITHIN,
    )
    .toBe(4);
  clock.advance(60_000);
  expect(visits).toHaveLength(4);
  held.resolve();
  await expect.poll(entries, WITHIN).toBe(20);
});

test('a broker that does not take it is tried again, and given up in the end, which the audit log says', async () => {
  broker = async (clientId) => {
    if (clientId === 'kiosk-0001' || visits.length < 3) throw new Error('away');
  };
  evictions.evict(['kiosk-0001', 'kiosk-0002']);
  await expect.poll(entries, WITHIN).toBe(2);
  expect(visits.filter(([clientId]) => clientId === 'kiosk-0001')).toHaveLength(3);
  expect(audit.entries.map(({ deviceId, result, code }) => `${deviceId} ${result} ${code ?? ''}`).toSorted()).toEqual([
    'kiosk-0001 failed eviction_failed',
    'kiosk-0002 done ',
  ]);
});
